// passes: graph-to-tensor
// A convolution is channels-last inside: the padded input and the weight are brought into that order, the bias is added at
// the end, and a movement brings the result back.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3, H, W], f32>, %w : !graph.tensor<[8, 3, 3, 3], f32>, %b : !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32> {
    %y = graph.conv %x, %w, %b <strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 1> {nodes = ["Conv_0"]} : (!graph.tensor<[N, 3, H, W], f32>, !graph.tensor<[8, 3, 3, 3], f32>, !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32>
    func.return %y : !graph.tensor<[N, 8, H, W], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3, H, W], f32>, %w: !graph.tensor<[8, 3, 3, 3], f32>, %b: !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32> {
    %0 = tensor.compute [%i0 : N, %i1 : H + 2, %i2 : W + 2, %i3 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H + 2, W + 2, 3], f32> {
      %1 = arith.constant 0.000000e+00 : f32
      %2 = tensor.read %x[%i0, %i3, %i1 - 1, %i2 - 1] else %1
      tensor.yield %2 : f32
    }
    %1 = tensor.compute [%i0 : 3, %i1 : 3, %i2 : 3, %i3 : 8] {nodes = ["Conv_0"]} : !graph.tensor<[3, 3, 3, 8], f32> {
      %2 = tensor.read %w[%i3, %i2, %i0, %i1]
      tensor.yield %2 : f32
    }
    %2 = tensor.compute [%i0 : N, %i1 : H, %i2 : W, %i3 : 8] add [%k0 : 3, %k1 : 3, %k2 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H, W, 8], f32> {
      %3 = tensor.read %0[%i0, %i1 + %k0, %i2 + %k1, %k2]
      %4 = tensor.read %1[%k0, %k1, %k2, %i3]
      %5 = arith.mulf %3, %4 : f32
      tensor.yield %5 : f32
    } finish {
    ^bb0(%i0: index, %i1: index, %i2: index, %i3: index, %acc: f32):
      %3 = tensor.read %b[%i3]
      %4 = arith.addf %acc, %3 : f32
      tensor.yield %4 : f32
    }
    %y = tensor.compute [%i0 : N, %i1 : 8, %i2 : H, %i3 : W] {nodes = ["Conv_0"]} : !graph.tensor<[N, 8, H, W], f32> {
      %3 = tensor.read %2[%i0, %i2, %i3, %i1]
      tensor.yield %3 : f32
    }
    func.return %y : !graph.tensor<[N, 8, H, W], f32>
  }
}
// -----
// passes: graph-to-tensor
// Sizes that need not be equal broadcast at run time: index 0 where the size is 1.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32>, %y : !graph.tensor<[M, 1], f32>) -> !graph.tensor<[max(M, N) * min(1, M, N), 4], f32> {
    %z = graph.add %x, %y {nodes = ["Add_0"]} : (!graph.tensor<[N, 4], f32>, !graph.tensor<[M, 1], f32>) -> !graph.tensor<[max(M, N) * min(1, M, N), 4], f32>
    func.return %z : !graph.tensor<[max(M, N) * min(1, M, N), 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4], f32>, %y: !graph.tensor<[M, 1], f32>) -> !graph.tensor<[min(1, M, N) * max(M, N), 4], f32> {
    %z = tensor.compute [%i0 : min(1, M, N) * max(M, N), %i1 : 4] {nodes = ["Add_0"]} : !graph.tensor<[min(1, M, N) * max(M, N), 4], f32> {
      %0 = tensor.read %x[%i0 * min(1, N - 1), %i1]
      %1 = tensor.read %y[%i0 * min(1, M - 1), 0]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %z : !graph.tensor<[min(1, M, N) * max(M, N), 4], f32>
  }
}
// -----
// passes: graph-to-tensor
// A reshape that merges and splits axes stays affine where it can, and groups of axes do not mix.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32> {
    %y = graph.reshape %x <shape = [N, 2, 3, H * W]> : (!graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32>
    func.return %y : !graph.tensor<[N, 2, 3, H * W], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32> {
    %y = tensor.compute [%i0 : N, %i1 : 2, %i2 : 3, %i3 : H * W] : !graph.tensor<[N, 2, 3, H * W], f32> {
      %0 = tensor.read %x[%i0, 3 * %i1 + %i2, %i3 floordiv W, %i3 mod W]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[N, 2, 3, H * W], f32>
  }
}
// -----
// passes: graph-to-tensor
// A softmax is two reductions and two elementwise computations.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32> {
    %y = graph.softmax %x <axis = -1> : (!graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32>
    func.return %y : !graph.tensor<[N, K], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32> {
    %0 = tensor.compute [%i0 : N, %i1 : 1] max [%k0 : K] : !graph.tensor<[N, 1], f32> {
      %1 = tensor.read %x[%i0, %k0]
      tensor.yield %1 : f32
    }
    %1 = tensor.compute [%i0 : N, %i1 : K] : !graph.tensor<[N, K], f32> {
      %2 = tensor.read %x[%i0, %i1]
      %3 = tensor.read %0[%i0, 0]
      %4 = arith.subf %2, %3 : f32
      %5 = math.exp %4 : f32
      tensor.yield %5 : f32
    }
    %2 = tensor.compute [%i0 : N, %i1 : 1] add [%k0 : K] : !graph.tensor<[N, 1], f32> {
      %3 = tensor.read %1[%i0, %k0]
      tensor.yield %3 : f32
    }
    %y = tensor.compute [%i0 : N, %i1 : K] : !graph.tensor<[N, K], f32> {
      %3 = tensor.read %1[%i0, %i1]
      %4 = tensor.read %2[%i0, 0]
      %5 = arith.divf %3, %4 : f32
      tensor.yield %5 : f32
    }
    func.return %y : !graph.tensor<[N, K], f32>
  }
}
