// passes: fold-batch-norm,eliminate-dead-code
// Into a grouped convolution without bias; the nodes of both are named.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 2, 5], f32>) -> !graph.tensor<[N, 2, 3], f32> {
    %w = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> : !graph.tensor<[2, 1, 3], f32>
    %scale = graph.constant #ir.weight<[1.0, 4.0]> : !graph.tensor<[2], f32>
    %bias = graph.constant #ir.weight<[0.5, 1.0]> : !graph.tensor<[2], f32>
    %mean = graph.constant #ir.weight<[2.0, 1.0]> : !graph.tensor<[2], f32>
    %variance = graph.constant #ir.weight<[3.0, 15.0]> : !graph.tensor<[2], f32>
    %0 = graph.conv %x, %w <strides = [1], pads = [0, 0], dilations = [1], group = 2> {nodes = ["Conv_0"]} : (!graph.tensor<[N, 2, 5], f32>, !graph.tensor<[2, 1, 3], f32>) -> !graph.tensor<[N, 2, 3], f32>
    %1 = graph.batch_normalization %0, %scale, %bias, %mean, %variance <epsilon = 1.0> {nodes = ["BN_1"]} : (!graph.tensor<[N, 2, 3], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2, 3], f32>
    func.return %1 : !graph.tensor<[N, 2, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 2, 5], f32>) -> !graph.tensor<[N, 2, 3], f32> {
    %0 = graph.constant #ir.weight<[0.5, 1.0, 1.5, 4.0, 5.0, 6.0]> : !graph.tensor<[2, 1, 3], f32>
    %1 = graph.constant #ir.weight<[-0.5, 0.0]> : !graph.tensor<[2], f32>
    %2 = graph.conv %x, %0, %1 <strides = [1], pads = [0, 0], dilations = [1], group = 2> {nodes = ["Conv_0", "BN_1"]} : (!graph.tensor<[N, 2, 5], f32>, !graph.tensor<[2, 1, 3], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2, 3], f32>
    func.return %2 : !graph.tensor<[N, 2, 3], f32>
  }
}
// -----
// passes: fold-batch-norm,eliminate-dead-code
// Into a product of matrices, which becomes a Gemm, and into a Gemm with factors; not where the product has another reader.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 2], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>) {
    %w = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !graph.tensor<[2, 2], f32>
    %c = graph.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
    %scale = graph.constant #ir.weight<[1.0, 4.0]> : !graph.tensor<[2], f32>
    %bias = graph.constant #ir.weight<[0.5, 1.0]> : !graph.tensor<[2], f32>
    %mean = graph.constant #ir.weight<[2.0, 1.0]> : !graph.tensor<[2], f32>
    %variance = graph.constant #ir.weight<[3.0, 15.0]> : !graph.tensor<[2], f32>
    %0 = graph.matmul %x, %w : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>) -> !graph.tensor<[N, 2], f32>
    %1 = graph.batch_normalization %0, %scale, %bias, %mean, %variance <epsilon = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    %2 = graph.gemm %1, %w, %c <alpha = 2.0, beta = 3.0, trans_a = false, trans_b = true> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[N, 2], f32>
    %3 = graph.batch_normalization %2, %scale, %bias, %mean, %variance <epsilon = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    %4 = graph.matmul %3, %w : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>) -> !graph.tensor<[N, 2], f32>
    %5 = graph.batch_normalization %4, %scale, %bias, %mean, %variance <epsilon = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    func.return %3, %4, %5 : !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 2], f32>) -> (!graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>) {
    %w = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !graph.tensor<[2, 2], f32>
    %scale = graph.constant #ir.weight<[1.0, 4.0]> : !graph.tensor<[2], f32>
    %bias = graph.constant #ir.weight<[0.5, 1.0]> : !graph.tensor<[2], f32>
    %mean = graph.constant #ir.weight<[2.0, 1.0]> : !graph.tensor<[2], f32>
    %variance = graph.constant #ir.weight<[3.0, 15.0]> : !graph.tensor<[2], f32>
    %0 = graph.constant #ir.weight<[0.5, 2.0, 1.5, 4.0]> : !graph.tensor<[2, 2], f32>
    %1 = graph.constant #ir.weight<[-0.5, 0.0]> : !graph.tensor<[2], f32>
    %2 = graph.gemm %x, %0, %1 <trans_a = false, trans_b = false, alpha = 1.0, beta = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    %3 = graph.constant #ir.weight<[1.0, 2.0, 6.0, 8.0]> : !graph.tensor<[2, 2], f32>
    %4 = graph.constant #ir.weight<[1.0, 3.0]> : !graph.tensor<[2], f32>
    %5 = graph.gemm %2, %3, %4 <trans_a = false, trans_b = true, alpha = 1.0, beta = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    %6 = graph.matmul %5, %w : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2, 2], f32>) -> !graph.tensor<[N, 2], f32>
    %7 = graph.batch_normalization %6, %scale, %bias, %mean, %variance <epsilon = 1.0> : (!graph.tensor<[N, 2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[N, 2], f32>
    func.return %5, %6, %7 : !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>, !graph.tensor<[N, 2], f32>
  }
}
