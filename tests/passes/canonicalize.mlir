// passes: canonicalize
// Operators: transposes and reshapes in a row become one, a double negation goes, casts that lose nothing are left out.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 2, 3], f32>, %h : !graph.tensor<[N], i8>) -> (!graph.tensor<[3, N, 2], f32>, !graph.tensor<[3, 2 * N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], i8>) {
    %0 = graph.transpose %x <perm = [1, 2, 0]> : (!graph.tensor<[N, 2, 3], f32>) -> !graph.tensor<[2, 3, N], f32>
    %1 = graph.transpose %0 <perm = [1, 2, 0]> : (!graph.tensor<[2, 3, N], f32>) -> !graph.tensor<[3, N, 2], f32>
    %2 = graph.reshape %1 <shape = [3 * N, 2]> : (!graph.tensor<[3, N, 2], f32>) -> !graph.tensor<[3 * N, 2], f32>
    %3 = graph.reshape %2 <shape = [3, 2 * N]> : (!graph.tensor<[3 * N, 2], f32>) -> !graph.tensor<[3, 2 * N], f32>
    %4 = graph.neg %3 : (!graph.tensor<[3, 2 * N], f32>) -> !graph.tensor<[3, 2 * N], f32>
    %5 = graph.neg %4 : (!graph.tensor<[3, 2 * N], f32>) -> !graph.tensor<[3, 2 * N], f32>
    %6 = graph.cast %h <to = i32> : (!graph.tensor<[N], i8>) -> !graph.tensor<[N], i32>
    %7 = graph.cast %6 <to = f32> : (!graph.tensor<[N], i32>) -> !graph.tensor<[N], f32>
    %8 = graph.cast %6 <to = i8> : (!graph.tensor<[N], i32>) -> !graph.tensor<[N], i8>
    func.return %1, %5, %7, %8 : !graph.tensor<[3, N, 2], f32>, !graph.tensor<[3, 2 * N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], i8>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 2, 3], f32>, %h: !graph.tensor<[N], i8>) -> (!graph.tensor<[3, N, 2], f32>, !graph.tensor<[3, 2 * N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], i8>) {
    %0 = graph.transpose %x <perm = [1, 2, 0]> : (!graph.tensor<[N, 2, 3], f32>) -> !graph.tensor<[2, 3, N], f32>
    %1 = graph.transpose %x <perm = [2, 0, 1]> : (!graph.tensor<[N, 2, 3], f32>) -> !graph.tensor<[3, N, 2], f32>
    %2 = graph.reshape %1 <shape = [3 * N, 2]> : (!graph.tensor<[3, N, 2], f32>) -> !graph.tensor<[3 * N, 2], f32>
    %3 = graph.reshape %1 <shape = [3, 2 * N]> : (!graph.tensor<[3, N, 2], f32>) -> !graph.tensor<[3, 2 * N], f32>
    %4 = graph.neg %3 : (!graph.tensor<[3, 2 * N], f32>) -> !graph.tensor<[3, 2 * N], f32>
    %5 = graph.cast %h <to = i32> : (!graph.tensor<[N], i8>) -> !graph.tensor<[N], i32>
    %6 = graph.cast %h <to = f32> : (!graph.tensor<[N], i8>) -> !graph.tensor<[N], f32>
    %7 = graph.cast %h <to = i8> : (!graph.tensor<[N], i8>) -> !graph.tensor<[N], i8>
    func.return %1, %3, %6, %7 : !graph.tensor<[3, N, 2], f32>, !graph.tensor<[3, 2 * N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], i8>
  }
}
// -----
// passes: canonicalize
// x * 1 and x + -0.0 are x; x + 0.0 is not, because of x = -0.0.
builtin.module {
  func.func @main(%x : !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %one = graph.constant #ir.weight<[1.0]> : !graph.tensor<[], f32>
    %minus = graph.constant #ir.weight<[-0.0]> : !graph.tensor<[1], f32>
    %zero = graph.constant #ir.weight<[0.0]> : !graph.tensor<[1], f32>
    %0 = graph.mul %one, %x : (!graph.tensor<[], f32>, !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32>
    %1 = graph.add %0, %minus : (!graph.tensor<[N], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[N], f32>
    %2 = graph.add %1, %zero : (!graph.tensor<[N], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[N], f32>
    func.return %1, %2 : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %one = graph.constant #ir.weight<[1.0]> : !graph.tensor<[], f32>
    %minus = graph.constant #ir.weight<[-0.0]> : !graph.tensor<[1], f32>
    %zero = graph.constant #ir.weight<[0.0]> : !graph.tensor<[1], f32>
    %0 = graph.add %x, %zero : (!graph.tensor<[N], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[N], f32>
    func.return %x, %0 : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
// -----
// passes: canonicalize
// Bodies: indices in simplest form, an `else` that is never taken, a division that is a multiplication, a constant choice.
builtin.module {
  func.func @main(%x : !graph.tensor<[M, 4], f32>) -> !graph.tensor<[4 * M], f32> {
    %a = tensor.compute [%i : 4 * M] : !graph.tensor<[4 * M], f32> {
      %zero = arith.constant 0.0 : f32
      %eight = arith.constant 8.0 : f32
      %yes = arith.constant true
      %two = tensor.index %i floordiv 2
      %0 = tensor.read %x[%two floordiv 2, %i mod 4] else %zero
      %1 = arith.divf %0, %eight : f32
      %2 = arith.select %yes, %1, %zero : f32
      %3 = tensor.read %x[%i floordiv 4, %i mod 4 - 4] else %zero
      %4 = arith.subf %2, %3 : f32
      tensor.yield %4 : f32
    }
    func.return %a : !graph.tensor<[4 * M], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[M, 4], f32>) -> !graph.tensor<[4 * M], f32> {
    %a = tensor.compute [%i : 4 * M] : !graph.tensor<[4 * M], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %eight = arith.constant 8.000000e+00 : f32
      %yes = arith.constant true
      %two = tensor.index %i floordiv 2
      %0 = tensor.read %x[%i floordiv 4, %i mod 4]
      %1 = arith.constant 1.250000e-01 : f32
      %2 = arith.mulf %0, %1 {rounded} : f32
      tensor.yield %2 : f32
    }
    func.return %a : !graph.tensor<[4 * M], f32>
  }
}
// -----
// passes: canonicalize
// Reductions: digits of the reduced index become indices, dims of size 1 go, and a `finish` of nothing joins the body.
builtin.module {
  func.func @main(%x : !graph.tensor<[12, M, 64], f32>, %w : !graph.tensor<[768, 1, N], f32>) -> (!graph.tensor<[M, N], f32>, !graph.tensor<[M], f32>) {
    %a = tensor.compute [%i : M, %j : N] add [%k : 768, %u : 1] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %x[%k floordiv 64, %i, %k mod 64]
      %1 = tensor.read %w[%k, %u, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %b = tensor.compute [%i : M] max [%k : 1] : !graph.tensor<[M], f32> {
      %0 = tensor.read %x[%k, %i, %k]
      tensor.yield %0 : f32
    } finish {
    ^bb0(%i : index, %acc : f32):
      %0 = arith.negf %acc : f32
      tensor.yield %0 : f32
    }
    func.return %a, %b : !graph.tensor<[M, N], f32>, !graph.tensor<[M], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[12, M, 64], f32>, %w: !graph.tensor<[768, 1, N], f32>) -> (!graph.tensor<[M, N], f32>, !graph.tensor<[M], f32>) {
    %a = tensor.compute [%i : M, %j : N] add [%k : 12, %k_1 : 64] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %x[%k, %i, %k_1]
      %1 = tensor.read %w[64 * %k + %k_1, 0, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %b = tensor.compute [%i : M] : !graph.tensor<[M], f32> {
      %acc = tensor.read %x[0, %i, 0]
      %0 = arith.negf %acc : f32
      tensor.yield %0 : f32
    }
    func.return %a, %b : !graph.tensor<[M, N], f32>, !graph.tensor<[M], f32>
  }
}
// -----
// passes: canonicalize,eliminate-dead-code
// What was cut in two and is put together again was never cut.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 6], f32>) -> !graph.tensor<[N, 9], f32> {
    %0, %1 = graph.split %x <axis = 1, sizes = [2, 4]> : (!graph.tensor<[N, 6], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[N, 4], f32>)
    %2, %3 = graph.split %1 <axis = 1, sizes = [3, 1]> : (!graph.tensor<[N, 4], f32>) -> (!graph.tensor<[N, 3], f32>, !graph.tensor<[N, 1], f32>)
    %4 = graph.concat %0, %1, %2 <axis = 1> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[N, 4], f32>, !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 9], f32>
    func.return %4 : !graph.tensor<[N, 9], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 6], f32>) -> !graph.tensor<[N, 9], f32> {
    %0, %1 = graph.split %x <axis = 1, sizes = [2, 4]> : (!graph.tensor<[N, 6], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[N, 4], f32>)
    %2, %3 = graph.split %1 <axis = 1, sizes = [3, 1]> : (!graph.tensor<[N, 4], f32>) -> (!graph.tensor<[N, 3], f32>, !graph.tensor<[N, 1], f32>)
    %4 = graph.concat %x, %2 <axis = 1> : (!graph.tensor<[N, 6], f32>, !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 9], f32>
    func.return %4 : !graph.tensor<[N, 9], f32>
  }
}
// -----
// passes: canonicalize
// Places of an update are simplified as reads are; a position that was data becomes part of the index.
builtin.module {
  func.func @main(%x : !graph.tensor<[8], i64>) -> !graph.tensor<[8], i64> {
    %z = tensor.update %x as %now in order [%k : 8] : !graph.tensor<[8], i64> {
      %zero = arith.constant 0 : i64
      %old = tensor.read %now[%k floordiv 8 + %k] else %zero
      %at = tensor.index 7 - %k
      tensor.put %old at [%at + %k floordiv 8]
    }
    func.return %z : !graph.tensor<[8], i64>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[8], i64>) -> !graph.tensor<[8], i64> {
    %z = tensor.update %x as %now in order [%k : 8] : !graph.tensor<[8], i64> {
      %zero = arith.constant 0 : i64
      %old = tensor.read %now[%k]
      %at = tensor.index -%k + 7
      tensor.put %old at [-%k + 7]
    }
    func.return %z : !graph.tensor<[8], i64>
  }
}
