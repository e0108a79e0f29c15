// passes: propagate-layouts
// Both operands lie transposed: so does the result, and a movement turns it around for its reader.
builtin.module {
  func.func @main(%x : !graph.tensor<[M, N], f32>, %bias : !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N, M], f32>) {
    %a = tensor.compute [%i : N, %j : M] {nodes = ["Mul_0"]} : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %x[%j, %i]
      %1 = tensor.read %bias[%i]
      %2 = arith.mulf %0, %1 : f32
      %3 = math.exp %2 : f32
      tensor.yield %3 : f32
    }
    %s = tensor.compute [%i : N] add [%j : M] : !graph.tensor<[N], f32> {
      %0 = tensor.read %a[%i, %j]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : N, %j : M] : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %a[%i, %j]
      %1 = tensor.read %s[%i]
      %2 = arith.divf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %b : !graph.tensor<[N], f32>, !graph.tensor<[N, M], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[M, N], f32>, %bias: !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N, M], f32>) {
    %a = tensor.compute [%j : M, %i : N] {nodes = ["Mul_0"]} : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %x[%j, %i]
      %1 = tensor.read %bias[%i]
      %2 = arith.mulf %0, %1 : f32
      %3 = math.exp %2 : f32
      tensor.yield %3 : f32
    }
    %s = tensor.compute [%i : N] add [%j : M] : !graph.tensor<[N], f32> {
      %0 = tensor.read %a[%j, %i]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : N, %j : M] : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %a[%j, %i]
      %1 = tensor.read %s[%i]
      %2 = arith.divf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %b : !graph.tensor<[N], f32>, !graph.tensor<[N, M], f32>
  }
}
// -----
// passes: propagate-layouts
// A pooling goes through its operand in the order in which it lies.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 8, 3], f32>) -> !graph.tensor<[N, 3], f32> {
    %p = tensor.compute [%n : N, %c : 3, %h : 4] max [%k : 2] : !graph.tensor<[N, 3, 4], f32> {
      %0 = tensor.read %x[%n, %h * 2 + %k, %c]
      tensor.yield %0 : f32
    }
    %s = tensor.compute [%n : N, %c : 3] add [%h : 4] : !graph.tensor<[N, 3], f32> {
      %0 = tensor.read %p[%n, %c, %h]
      tensor.yield %0 : f32
    }
    func.return %s : !graph.tensor<[N, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 8, 3], f32>) -> !graph.tensor<[N, 3], f32> {
    %p = tensor.compute [%n : N, %h : 4, %c : 3] max [%k : 2] : !graph.tensor<[N, 4, 3], f32> {
      %0 = tensor.read %x[%n, 2 * %h + %k, %c]
      tensor.yield %0 : f32
    }
    %s = tensor.compute [%n : N, %c : 3] add [%h : 4] : !graph.tensor<[N, 3], f32> {
      %0 = tensor.read %p[%n, %h, %c]
      tensor.yield %0 : f32
    }
    func.return %s : !graph.tensor<[N, 3], f32>
  }
}
// -----
// passes: propagate-layouts
// A slice lies as its source does; a permutation alone stays what it is.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 8, 3], f32>) -> !graph.tensor<[N, 4, 10], f32> {
    %p = tensor.compute [%n : N, %c : 3, %h : 8] : !graph.tensor<[N, 3, 8], f32> {
      %0 = tensor.read %x[%n, %h, %c]
      tensor.yield %0 : f32
    }
    %s = tensor.compute [%n : N, %c : 3, %h : 4] : !graph.tensor<[N, 3, 4], f32> {
      %0 = tensor.read %x[%n, %h + 4, %c]
      tensor.yield %0 : f32
    }
    %j = tensor.compute [%n : N, %h : 4, %c : 10] : !graph.tensor<[N, 4, 10], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %s[%n, %c, %h] else %zero
      %1 = tensor.read %p[%n, %c - 3, %h * 2] else %0
      tensor.yield %1 : f32
    }
    func.return %j : !graph.tensor<[N, 4, 10], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 8, 3], f32>) -> !graph.tensor<[N, 4, 10], f32> {
    %p = tensor.compute [%n : N, %h : 8, %c : 3] : !graph.tensor<[N, 8, 3], f32> {
      %0 = tensor.read %x[%n, %h, %c]
      tensor.yield %0 : f32
    }
    %s = tensor.compute [%n : N, %h : 4, %c : 3] : !graph.tensor<[N, 4, 3], f32> {
      %0 = tensor.read %x[%n, %h + 4, %c]
      tensor.yield %0 : f32
    }
    %j = tensor.compute [%n : N, %h : 4, %c : 10] : !graph.tensor<[N, 4, 10], f32> {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %s[%n, %h, %c] else %zero
      %1 = tensor.read %p[%n, 2 * %h, %c - 3] else %0
      tensor.yield %1 : f32
    }
    func.return %j : !graph.tensor<[N, 4, 10], f32>
  }
}
// -----
// passes: propagate-layouts
// So does a depthwise convolution, for which each channel stands alone; a product of matrices chooses for itself.
builtin.module {
  func.func @main(%x : !graph.tensor<[3, 10], f32>, %w : !graph.tensor<[3, 3], f32>, %m : !graph.tensor<[3, 5], f32>) -> (!graph.tensor<[3, 8], f32>, !graph.tensor<[5, 10], f32>) {
    %d = tensor.compute [%h : 8, %c : 3] add [%k : 3] : !graph.tensor<[8, 3], f32> {
      %0 = tensor.read %x[%c, %h + %k]
      %1 = tensor.read %w[%k, %c]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %r = tensor.compute [%c : 3, %h : 8] : !graph.tensor<[3, 8], f32> {
      %0 = tensor.read %d[%h, %c]
      %1 = math.absf %0 : f32
      tensor.yield %1 : f32
    }
    %p = tensor.compute [%h : 10, %o : 5] add [%c : 3] : !graph.tensor<[10, 5], f32> {
      %0 = tensor.read %x[%c, %h]
      %1 = tensor.read %m[%c, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %q = tensor.compute [%o : 5, %h : 10] : !graph.tensor<[5, 10], f32> {
      %0 = tensor.read %p[%h, %o]
      %1 = math.absf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %r, %q : !graph.tensor<[3, 8], f32>, !graph.tensor<[5, 10], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[3, 10], f32>, %w: !graph.tensor<[3, 3], f32>, %m: !graph.tensor<[3, 5], f32>) -> (!graph.tensor<[3, 8], f32>, !graph.tensor<[5, 10], f32>) {
    %d = tensor.compute [%c : 3, %h : 8] add [%k : 3] : !graph.tensor<[3, 8], f32> {
      %0 = tensor.read %x[%c, %h + %k]
      %1 = tensor.read %w[%k, %c]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %r = tensor.compute [%c : 3, %h : 8] : !graph.tensor<[3, 8], f32> {
      %0 = tensor.read %d[%c, %h]
      %1 = math.absf %0 : f32
      tensor.yield %1 : f32
    }
    %p = tensor.compute [%h : 10, %o : 5] add [%c : 3] : !graph.tensor<[10, 5], f32> {
      %0 = tensor.read %x[%c, %h]
      %1 = tensor.read %m[%c, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %q = tensor.compute [%o : 5, %h : 10] : !graph.tensor<[5, 10], f32> {
      %0 = tensor.read %p[%h, %o]
      %1 = math.absf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %r, %q : !graph.tensor<[3, 8], f32>, !graph.tensor<[5, 10], f32>
  }
}
// -----
// passes: propagate-layouts,eliminate-identities
// A convolution 1 x 1 between borders, whose image and result have their channels first, is computed so.
builtin.module {
  func.func @main(%x : !graph.tensor<[1, 3, 4, 4], f32>, %w : !graph.tensor<[3, 8], f32>) -> !graph.tensor<[1, 8, 4, 4], f32> {
    %c = tensor.compute [%n : 1, %h : 4, %v : 4, %o : 8] add [%k : 3] : !graph.tensor<[1, 4, 4, 8], f32> {
      %0 = tensor.read %x[%n, %k, %h, %v]
      %1 = tensor.read %w[%k, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %y = tensor.compute [%n : 1, %o : 8, %h : 4, %v : 4] : !graph.tensor<[1, 8, 4, 4], f32> {
      %0 = tensor.read %c[%n, %h, %v, %o]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[1, 8, 4, 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[1, 3, 4, 4], f32>, %w: !graph.tensor<[3, 8], f32>) -> !graph.tensor<[1, 8, 4, 4], f32> {
    %c = tensor.compute [%n : 1, %o : 8, %h : 4, %v : 4] add [%k : 3] : !graph.tensor<[1, 8, 4, 4], f32> {
      %0 = tensor.read %x[%n, %k, %h, %v]
      %1 = tensor.read %w[%k, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %c : !graph.tensor<[1, 8, 4, 4], f32>
  }
}
// -----
// passes: propagate-layouts,eliminate-identities
// Where there are more channels than pixels it is not: vectors would be shorter.
builtin.module {
  func.func @main(%x : !graph.tensor<[1, 3, 4, 4], f32>, %w : !graph.tensor<[3, 32], f32>) -> !graph.tensor<[1, 32, 4, 4], f32> {
    %c = tensor.compute [%n : 1, %h : 4, %v : 4, %o : 32] add [%k : 3] : !graph.tensor<[1, 4, 4, 32], f32> {
      %0 = tensor.read %x[%n, %k, %h, %v]
      %1 = tensor.read %w[%k, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %y = tensor.compute [%n : 1, %o : 32, %h : 4, %v : 4] : !graph.tensor<[1, 32, 4, 4], f32> {
      %0 = tensor.read %c[%n, %h, %v, %o]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[1, 32, 4, 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[1, 3, 4, 4], f32>, %w: !graph.tensor<[3, 32], f32>) -> !graph.tensor<[1, 32, 4, 4], f32> {
    %c = tensor.compute [%n : 1, %h : 4, %v : 4, %o : 32] add [%k : 3] : !graph.tensor<[1, 4, 4, 32], f32> {
      %0 = tensor.read %x[%n, %k, %h, %v]
      %1 = tensor.read %w[%k, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %y = tensor.compute [%n : 1, %o : 32, %h : 4, %v : 4] : !graph.tensor<[1, 32, 4, 4], f32> {
      %0 = tensor.read %c[%n, %h, %v, %o]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[1, 32, 4, 4], f32>
  }
}
