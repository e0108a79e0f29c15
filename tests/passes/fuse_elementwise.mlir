// passes: fuse-elementwise
// A chain becomes one compute; a transpose in it becomes an index map.
builtin.module {
  func.func @main(%x : !graph.tensor<[M, N], f32>) -> !graph.tensor<[N, M], f32> {
    %a = tensor.compute [%i : M, %j : N] {nodes = ["Exp_0"]} : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %t = tensor.compute [%i : N, %j : M] {nodes = ["Transpose_1"]} : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %a[%j, %i]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : N, %j : M] {nodes = ["Neg_2"]} : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %t[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %b : !graph.tensor<[N, M], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[M, N], f32>) -> !graph.tensor<[N, M], f32> {
    %b = tensor.compute [%i : N, %j : M] {nodes = ["Exp_0", "Transpose_1", "Neg_2"]} : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %x[%j, %i]
      %1 = math.exp %0 : f32
      %2 = arith.negf %1 : f32
      tensor.yield %2 : f32
    }
    func.return %b : !graph.tensor<[N, M], f32>
  }
}
// -----
// passes: fuse-elementwise
// A cheap formula goes into both readers, an expensive one is computed once. Both readers of the movement read its source.
builtin.module {
  func.func @main(%x : !graph.tensor<[6], f32>) -> (!graph.tensor<[6], f32>, !graph.tensor<[2, 3], f32>) {
    %cheap = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %x[%i]
      %1 = arith.addf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %dear = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %x[%i]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %shape = tensor.compute [%i : 2, %j : 3] : !graph.tensor<[2, 3], f32> {
      %0 = tensor.read %dear[%i * 3 + %j]
      tensor.yield %0 : f32
    }
    %a = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %cheap[%i]
      %1 = tensor.read %shape[%i floordiv 3, %i mod 3]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %b = tensor.compute [%i : 2, %j : 3] : !graph.tensor<[2, 3], f32> {
      %0 = tensor.read %cheap[%i * 3 + %j]
      %1 = tensor.read %shape[%i, %j]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %a, %b : !graph.tensor<[6], f32>, !graph.tensor<[2, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[6], f32>) -> (!graph.tensor<[6], f32>, !graph.tensor<[2, 3], f32>) {
    %shape = tensor.compute [%i : 2, %j : 3] : !graph.tensor<[2, 3], f32> {
      %0 = tensor.read %x[3 * %i + %j]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %a = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %x[%i]
      %1 = arith.addf %0, %0 : f32
      %2 = tensor.read %shape[%i floordiv 3, %i mod 3]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    %b = tensor.compute [%i : 2, %j : 3] : !graph.tensor<[2, 3], f32> {
      %0 = tensor.read %x[3 * %i + %j]
      %1 = arith.addf %0, %0 : f32
      %2 = tensor.read %shape[%i, %j]
      %3 = arith.subf %1, %2 : f32
      tensor.yield %3 : f32
    }
    func.return %a, %b : !graph.tensor<[6], f32>, !graph.tensor<[2, 3], f32>
  }
}
// -----
// passes: fuse-elementwise
// A padding stays outside of a window, but the transpose before it goes into it: the inner read is outside where the outer one is.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3, H], f32>) -> !graph.tensor<[N, H, 3], f32> {
    %t = tensor.compute [%n : N, %h : H, %c : 3] : !graph.tensor<[N, H, 3], f32> {
      %0 = tensor.read %x[%n, %c, %h]
      tensor.yield %0 : f32
    }
    %p = tensor.compute [%n : N, %h : H + 2, %c : 3] : !graph.tensor<[N, H + 2, 3], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %t[%n, %h - 1, %c] else %zero
      tensor.yield %0 : f32
    }
    %w = tensor.compute [%n : N, %h : H, %c : 3] max [%k : 3] : !graph.tensor<[N, H, 3], f32> {
      %0 = tensor.read %p[%n, %h + %k, %c]
      tensor.yield %0 : f32
    }
    func.return %w : !graph.tensor<[N, H, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3, H], f32>) -> !graph.tensor<[N, H, 3], f32> {
    %p = tensor.compute [%n : N, %h : H + 2, %c : 3] : !graph.tensor<[N, H + 2, 3], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %x[%n, %c, %h - 1] else %zero
      tensor.yield %0 : f32
    }
    %w = tensor.compute [%n : N, %h : H, %c : 3] max [%k : 3] : !graph.tensor<[N, H, 3], f32> {
      %0 = tensor.read %p[%n, %h + %k, %c]
      tensor.yield %0 : f32
    }
    func.return %w : !graph.tensor<[N, H, 3], f32>
  }
}
// -----
// passes: fuse-elementwise
// A reshape does not go under an `else`: outside of the flat tensor is not outside of the other one.
builtin.module {
  func.func @main(%x : !graph.tensor<[2, 3], f32>) -> !graph.tensor<[8], f32> {
    %flat = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %x[%i floordiv 3, %i mod 3]
      tensor.yield %0 : f32
    }
    %p = tensor.compute [%i : 8] : !graph.tensor<[8], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %flat[%i - 1] else %zero
      tensor.yield %0 : f32
    }
    func.return %p : !graph.tensor<[8], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[2, 3], f32>) -> !graph.tensor<[8], f32> {
    %flat = tensor.compute [%i : 6] : !graph.tensor<[6], f32> {
      %0 = tensor.read %x[%i floordiv 3, %i mod 3]
      tensor.yield %0 : f32
    }
    %p = tensor.compute [%i : 8] : !graph.tensor<[8], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %flat[%i - 1] else %zero
      tensor.yield %0 : f32
    }
    func.return %p : !graph.tensor<[8], f32>
  }
}
// -----
// passes: fuse-elementwise
// An elementwise compute goes into a reduction that reads each element once, not into a product that reads it again and again.
builtin.module {
  func.func @main(%x : !graph.tensor<[M, K], f32>, %y : !graph.tensor<[K, N], f32>) -> (!graph.tensor<[M], f32>, !graph.tensor<[M, N], f32>) {
    %a = tensor.compute [%i : M, %k : K] : !graph.tensor<[M, K], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %s = tensor.compute [%i : M] add [%k : K] : !graph.tensor<[M], f32> {
      %0 = tensor.read %a[%i, %k]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : M, %k : K] : !graph.tensor<[M, K], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = math.tanh %0 : f32
      tensor.yield %1 : f32
    }
    %p = tensor.compute [%i : M, %j : N] add [%k : K] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %b[%i, %k]
      %1 = tensor.read %y[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %p : !graph.tensor<[M], f32>, !graph.tensor<[M, N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[M, K], f32>, %y: !graph.tensor<[K, N], f32>) -> (!graph.tensor<[M], f32>, !graph.tensor<[M, N], f32>) {
    %s = tensor.compute [%i : M] add [%k : K] : !graph.tensor<[M], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %b = tensor.compute [%i : M, %k : K] : !graph.tensor<[M, K], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = math.tanh %0 : f32
      tensor.yield %1 : f32
    }
    %p = tensor.compute [%i : M, %j : N] add [%k : K] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %b[%i, %k]
      %1 = tensor.read %y[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %p : !graph.tensor<[M], f32>, !graph.tensor<[M, N], f32>
  }
}
// -----
// passes: fuse-elementwise
// The bounds of an axis of size 1 are held by another axis of size 1, so that a concatenation along it reads the source.
builtin.module {
  func.func @main(%x : !graph.tensor<[1, 3, N], f32>, %y : !graph.tensor<[N, 3, 1], f32>) -> !graph.tensor<[N, 3, 2], f32> {
    %t = tensor.compute [%i : N, %j : 3, %k : 1] : !graph.tensor<[N, 3, 1], f32> {
      %0 = tensor.read %x[0, %j, %i]
      tensor.yield %0 : f32
    }
    %c = tensor.compute [%i : N, %j : 3, %k : 2] : !graph.tensor<[N, 3, 2], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %y[%i, %j, %k] else %zero
      %1 = tensor.read %t[%i, %j, %k - 1] else %0
      tensor.yield %1 : f32
    }
    func.return %c : !graph.tensor<[N, 3, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[1, 3, N], f32>, %y: !graph.tensor<[N, 3, 1], f32>) -> !graph.tensor<[N, 3, 2], f32> {
    %c = tensor.compute [%i : N, %j : 3, %k : 2] : !graph.tensor<[N, 3, 2], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %y[%i, %j, %k] else %zero
      %1 = tensor.read %x[%k - 1, %j, %i] else %0
      tensor.yield %1 : f32
    }
    func.return %c : !graph.tensor<[N, 3, 2], f32>
  }
}
// -----
// passes: fuse-elementwise
// An update takes in movements and what is cheap; its steps go one by one, so a function stays outside, where lanes are.
builtin.module {
  func.func @main(%x : !graph.tensor<[N], f32>, %y : !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
    %shift = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %x[%i - 1] else %zero
      tensor.yield %0 : f32
    }
    %exp = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %y[%i]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %z = tensor.update %x as %now in order [%k : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %shift[%k]
      %1 = tensor.read %exp[%k]
      %2 = arith.mulf %0, %1 : f32
      tensor.put %2 at [%k]
    }
    func.return %z : !graph.tensor<[N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N], f32>, %y: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
    %exp = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %y[%i]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %z = tensor.update %x as %now in order [%k : N] : !graph.tensor<[N], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %x[%k - 1] else %zero
      %1 = tensor.read %exp[%k]
      %2 = arith.mulf %0, %1 : f32
      tensor.put %2 at [%k]
    }
    func.return %z : !graph.tensor<[N], f32>
  }
}
