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
    %0 = tensor.compute [%1 : N, %2 : H + 2, %3 : W + 2, %4 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H + 2, W + 2, 3], f32> {
      %5 = arith.constant 0.000000e+00 : f32
      %6 = tensor.read %x[%1, %4, %2 - 1, %3 - 1] else %5
      tensor.yield %6 : f32
    }
    %1 = tensor.compute [%2 : 3, %3 : 3, %4 : 3, %5 : 8] {nodes = ["Conv_0"]} : !graph.tensor<[3, 3, 3, 8], f32> {
      %6 = tensor.read %w[%5, %4, %2, %3]
      tensor.yield %6 : f32
    }
    %2 = tensor.compute [%3 : N, %4 : H, %5 : W, %6 : 8] add [%7 : 3, %8 : 3, %9 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H, W, 8], f32> {
      %10 = tensor.read %0[%3, %4 + %7, %5 + %8, %9]
      %11 = tensor.read %1[%7, %8, %9, %6]
      %12 = arith.mulf %10, %11 : f32
      tensor.yield %12 : f32
    } finish {
    ^bb0(%3: index, %4: index, %5: index, %6: index, %7: f32):
      %8 = tensor.read %b[%6]
      %9 = arith.addf %7, %8 : f32
      tensor.yield %9 : f32
    }
    %y = tensor.compute [%10 : N, %11 : 8, %12 : H, %13 : W] {nodes = ["Conv_0"]} : !graph.tensor<[N, 8, H, W], f32> {
      %14 = tensor.read %2[%10, %12, %13, %11]
      tensor.yield %14 : f32
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
    %z = tensor.compute [%0 : min(1, M, N) * max(M, N), %1 : 4] {nodes = ["Add_0"]} : !graph.tensor<[min(1, M, N) * max(M, N), 4], f32> {
      %2 = tensor.read %x[%0 * min(1, N - 1), %1]
      %3 = tensor.read %y[%0 * min(1, M - 1), 0]
      %4 = arith.addf %2, %3 : f32
      tensor.yield %4 : f32
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
    %y = tensor.compute [%0 : N, %1 : 2, %2 : 3, %3 : H * W] : !graph.tensor<[N, 2, 3, H * W], f32> {
      %4 = tensor.read %x[%0, 3 * %1 + %2, %3 floordiv W, %3 mod W]
      tensor.yield %4 : f32
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
    %0 = tensor.compute [%1 : N, %2 : 1] max [%3 : K] : !graph.tensor<[N, 1], f32> {
      %4 = tensor.read %x[%1, %3]
      tensor.yield %4 : f32
    }
    %1 = tensor.compute [%2 : N, %3 : K] : !graph.tensor<[N, K], f32> {
      %4 = tensor.read %x[%2, %3]
      %5 = tensor.read %0[%2, 0]
      %6 = arith.subf %4, %5 : f32
      %7 = math.exp %6 : f32
      tensor.yield %7 : f32
    }
    %2 = tensor.compute [%3 : N, %4 : 1] add [%5 : K] : !graph.tensor<[N, 1], f32> {
      %6 = tensor.read %1[%3, %5]
      tensor.yield %6 : f32
    }
    %y = tensor.compute [%3 : N, %4 : K] : !graph.tensor<[N, K], f32> {
      %5 = tensor.read %1[%3, %4]
      %6 = tensor.read %2[%3, 0]
      %7 = arith.divf %5, %6 : f32
      tensor.yield %7 : f32
    }
    func.return %y : !graph.tensor<[N, K], f32>
  }
}
