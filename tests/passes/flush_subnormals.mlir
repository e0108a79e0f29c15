// passes: flush-subnormals
// Weights of 1e-32 or less become 0 in a product of matrices, and stay for who reads the constant for anything else.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[3, 2], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 1.0e-40, 0.5, -2.0, -1.0e-45, 1.25e-31]> : !graph.tensor<[3, 2], f32>
    %y = tensor.compute [%i : N, %j : 2] add [%k : 3] {nodes = ["MatMul"]} : !graph.tensor<[N, 2], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %z = tensor.compute [%i : 3, %j : 2] {nodes = ["Neg"]} : !graph.tensor<[3, 2], f32> {
      %0 = tensor.read %w[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %y, %z : !graph.tensor<[N, 2], f32>, !graph.tensor<[3, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[3, 2], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 1.0e-40, 0.5, -2.0, -1.0e-45, 1.25e-31]> : !graph.tensor<[3, 2], f32>
    %w_1 = tensor.constant #ir.weight<[1.0, 0.0, 0.5, -2.0, 0.0, 1.250000003963846e-31]> : !graph.tensor<[3, 2], f32>
    %y = tensor.compute [%i : N, %j : 2] add [%k : 3] {nodes = ["MatMul"]} : !graph.tensor<[N, 2], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %w_1[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %z = tensor.compute [%i : 3, %j : 2] {nodes = ["Neg"]} : !graph.tensor<[3, 2], f32> {
      %0 = tensor.read %w[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %y, %z : !graph.tensor<[N, 2], f32>, !graph.tensor<[3, 2], f32>
  }
}
// -----
// passes: flush-subnormals
// Where nobody else reads it, the constant goes. Where all are small, or a sum is none of products, they stay.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 1.0e-40, 0.5]> : !graph.tensor<[3], f32>
    %s = tensor.constant #ir.weight<[1.0e-25, 1.0e-40, 1.0e-36]> : !graph.tensor<[3], f32>
    %b = tensor.constant #ir.weight<[1.0, 1.0e-40, 0.25]> : !graph.tensor<[3], f32>
    %y = tensor.compute [%i : N] add [%k : 3] {nodes = ["scaled"]} : !graph.tensor<[N], f32> {
      %0 = arith.constant 2.0 : f32
      %1 = tensor.read %x[%i, %k]
      %2 = tensor.read %w[%k]
      %3 = arith.mulf %0, %1 : f32
      %4 = arith.mulf %3, %2 : f32
      tensor.yield %4 : f32
    }
    %z = tensor.compute [%i : N] add [%k : 3] {nodes = ["small"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %s[%k]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %u = tensor.compute [%i : N] add [%k : 3] {nodes = ["sum"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %b[%k]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %y, %z, %u : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 0.0, 0.5]> : !graph.tensor<[3], f32>
    %s = tensor.constant #ir.weight<[1.0e-25, 1.0e-40, 1.0e-36]> : !graph.tensor<[3], f32>
    %b = tensor.constant #ir.weight<[1.0, 1.0e-40, 0.25]> : !graph.tensor<[3], f32>
    %y = tensor.compute [%i : N] add [%k : 3] {nodes = ["scaled"]} : !graph.tensor<[N], f32> {
      %0 = arith.constant 2.000000e+00 : f32
      %1 = tensor.read %x[%i, %k]
      %2 = tensor.read %w[%k]
      %3 = arith.mulf %0, %1 : f32
      %4 = arith.mulf %3, %2 : f32
      tensor.yield %4 : f32
    }
    %z = tensor.compute [%i : N] add [%k : 3] {nodes = ["small"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %s[%k]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %u = tensor.compute [%i : N] add [%k : 3] {nodes = ["sum"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %b[%k]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %y, %z, %u : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
// -----
// passes: flush-subnormals
// What is added to a sum is treated alike: a channel that is nothing but 1e-40 would make all that follows slow.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 2], f32> {
    %w = tensor.constant #ir.weight<[1.0, 0.0, 0.5, 0.0, 2.0, 0.0]> : !graph.tensor<[3, 2], f32>
    %b = tensor.constant #ir.weight<[1.0, 1.0e-40]> : !graph.tensor<[2], f32>
    %s = tensor.constant #ir.weight<[1.0, 1.0e-40]> : !graph.tensor<[2], f32>
    %y = tensor.compute [%i : N, %j : 2] add [%k : 3] {nodes = ["Gemm"]} : !graph.tensor<[N, 2], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    } finish {
    ^bb0(%i: index, %j: index, %acc: f32):
      %0 = tensor.read %b[%j]
      %1 = arith.addf %acc, %0 : f32
      %2 = tensor.read %s[%j]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    func.return %y : !graph.tensor<[N, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 2], f32> {
    %w = tensor.constant #ir.weight<[1.0, 0.0, 0.5, 0.0, 2.0, 0.0]> : !graph.tensor<[3, 2], f32>
    %b = tensor.constant #ir.weight<[1.0, 0.0]> : !graph.tensor<[2], f32>
    %s = tensor.constant #ir.weight<[1.0, 1.0e-40]> : !graph.tensor<[2], f32>
    %y = tensor.compute [%i : N, %j : 2] add [%k : 3] {nodes = ["Gemm"]} : !graph.tensor<[N, 2], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    } finish {
    ^bb0(%i: index, %j: index, %acc: f32):
      %0 = tensor.read %b[%j]
      %1 = arith.addf %acc, %0 : f32
      %2 = tensor.read %s[%j]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    func.return %y : !graph.tensor<[N, 2], f32>
  }
}
