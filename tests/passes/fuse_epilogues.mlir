// passes: fuse-epilogues,fuse-elementwise
// Two layers: bias, residual and activation go into the products; the transposes between them cancel.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 8], f32>, %v : !graph.tensor<[8, 8], f32>, %w : !graph.tensor<[8, 8], f32>, %bias : !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8], f32> {
    %p = tensor.compute [%i : N, %j : 8] add [%k : 8] {nodes = ["MatMul_0"]} : !graph.tensor<[N, 8], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %v[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %a = tensor.compute [%j : 8, %i : N] {nodes = ["Add_1", "Relu_2"]} : !graph.tensor<[8, N], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %p[%i, %j]
      %1 = tensor.read %bias[%j]
      %2 = arith.addf %0, %1 : f32
      %3 = arith.maximumf %2, %zero : f32
      tensor.yield %3 : f32
    }
    %q = tensor.compute [%i : N, %j : 8] add [%k : 8] {nodes = ["MatMul_3"]} : !graph.tensor<[N, 8], f32> {
      %0 = tensor.read %a[%k, %i]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %b = tensor.compute [%i : N, %j : 8] {nodes = ["Add_4"]} : !graph.tensor<[N, 8], f32> {
      %0 = tensor.read %q[%i, %j]
      %1 = tensor.read %a[%j, %i]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %b : !graph.tensor<[N, 8], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 8], f32>, %v: !graph.tensor<[8, 8], f32>, %w: !graph.tensor<[8, 8], f32>, %bias: !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8], f32> {
    %p = tensor.compute [%i : N, %j : 8] add [%k : 8] {nodes = ["MatMul_0", "Add_1", "Relu_2"]} : !graph.tensor<[N, 8], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %v[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    } finish {
    ^bb0(%i: index, %j: index, %acc: f32):
      %zero = arith.constant 0.000000e+00 : f32
      %0 = tensor.read %bias[%j]
      %1 = arith.addf %acc, %0 : f32
      %2 = arith.maximumf %1, %zero : f32
      tensor.yield %2 : f32
    }
    %q = tensor.compute [%i : N, %j : 8] add [%k : 8] {nodes = ["MatMul_3", "Add_4"]} : !graph.tensor<[N, 8], f32> {
      %0 = tensor.read %p[%i, %k]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    } finish {
    ^bb0(%i: index, %j: index, %acc: f32):
      %0 = tensor.read %p[%i, %j]
      %1 = arith.addf %acc, %0 : f32
      tensor.yield %1 : f32
    }
    func.return %q : !graph.tensor<[N, 8], f32>
  }
}
// -----
// passes: fuse-epilogues
// A reshape is a bijection too: what the epilogue reads besides is indexed back. A second epilogue follows the first.
builtin.module {
  func.func @main(%x : !graph.tensor<[B * 4, 8], f32>, %y : !graph.tensor<[B, 4], f32>) -> !graph.tensor<[B, 4], f32> {
    %s = tensor.compute [%i : B * 4] add [%k : 8] : !graph.tensor<[B * 4], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    } finish {
    ^bb0(%i : index, %acc : f32):
      %0 = math.sqrt %acc : f32
      tensor.yield %0 : f32
    }
    %a = tensor.compute [%b : B, %j : 4] : !graph.tensor<[B, 4], f32> {
      %0 = tensor.read %s[%b * 4 + %j]
      %1 = tensor.read %y[%b, %j]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %a : !graph.tensor<[B, 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[4 * B, 8], f32>, %y: !graph.tensor<[B, 4], f32>) -> !graph.tensor<[B, 4], f32> {
    %s = tensor.compute [%i : 4 * B] add [%k : 8] : !graph.tensor<[4 * B], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    } finish {
    ^bb0(%i: index, %acc: f32):
      %0 = math.sqrt %acc : f32
      %1 = tensor.read %y[%i floordiv 4, %i mod 4]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %a = tensor.compute [%i0 : B, %i1 : 4] : !graph.tensor<[B, 4], f32> {
      %0 = tensor.read %s[4 * %i0 + %i1]
      tensor.yield %0 : f32
    }
    func.return %a : !graph.tensor<[B, 4], f32>
  }
}
// -----
// passes: fuse-epilogues
// No epilogue: the reduction has another reader, or is read again and again.
builtin.module {
  func.func @main(%x : !graph.tensor<[4, 8], f32>) -> (!graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4, 8], f32>) {
    %s = tensor.compute [%i : 4] add [%k : 8] : !graph.tensor<[4], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    }
    %a = tensor.compute [%i : 4] : !graph.tensor<[4], f32> {
      %0 = tensor.read %s[%i]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %m = tensor.compute [%i : 4] max [%k : 8] : !graph.tensor<[4], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : 4, %j : 8] : !graph.tensor<[4, 8], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = tensor.read %m[%i]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %a, %b : !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4, 8], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[4, 8], f32>) -> (!graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4, 8], f32>) {
    %s = tensor.compute [%i : 4] add [%k : 8] : !graph.tensor<[4], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    }
    %a = tensor.compute [%i : 4] : !graph.tensor<[4], f32> {
      %0 = tensor.read %s[%i]
      %1 = math.exp %0 : f32
      tensor.yield %1 : f32
    }
    %m = tensor.compute [%i : 4] max [%k : 8] : !graph.tensor<[4], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : 4, %j : 8] : !graph.tensor<[4, 8], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = tensor.read %m[%i]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %s, %a, %b : !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4, 8], f32>
  }
}
