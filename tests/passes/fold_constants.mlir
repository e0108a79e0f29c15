// passes: fold-constants
// Operators on constants are their value; a broadcast that would be large is left to run time.
builtin.module {
  func.func @main() -> (!graph.tensor<[3, 2], f32>, !graph.tensor<[4096, 4096], f32>) {
    %a = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> : !graph.tensor<[2, 3], f32>
    %b = graph.constant #ir.weight<[10.0]> : !graph.tensor<[1], f32>
    %0 = graph.add %a, %b : (!graph.tensor<[2, 3], f32>, !graph.tensor<[1], f32>) -> !graph.tensor<[2, 3], f32>
    %1 = graph.transpose %0 <perm = [1, 0]> {nodes = ["Transpose_1"]} : (!graph.tensor<[2, 3], f32>) -> !graph.tensor<[3, 2], f32>
    %2 = graph.expand %b <shape = [4096, 4096]> : (!graph.tensor<[1], f32>) -> !graph.tensor<[4096, 4096], f32>
    func.return %1, %2 : !graph.tensor<[3, 2], f32>, !graph.tensor<[4096, 4096], f32>
  }
}
// =====
builtin.module {
  func.func @main() -> (!graph.tensor<[3, 2], f32>, !graph.tensor<[4096, 4096], f32>) {
    %a = graph.constant #ir.weight<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> : !graph.tensor<[2, 3], f32>
    %b = graph.constant #ir.weight<[10.0]> : !graph.tensor<[1], f32>
    %0 = graph.constant #ir.weight<[11.0, 12.0, 13.0, 14.0, 15.0, 16.0]> : !graph.tensor<[2, 3], f32>
    %1 = graph.constant #ir.weight<[11.0, 14.0, 12.0, 15.0, 13.0, 16.0]> {nodes = ["Transpose_1"]} : !graph.tensor<[3, 2], f32>
    %2 = graph.expand %b <shape = [4096, 4096]> : (!graph.tensor<[1], f32>) -> !graph.tensor<[4096, 4096], f32>
    func.return %1, %2 : !graph.tensor<[3, 2], f32>, !graph.tensor<[4096, 4096], f32>
  }
}
// -----
// passes: fold-constants,eliminate-dead-code
// Computes on constants too; in bodies, scalar operations on numbers, and reads of a constant that is one number.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 2], f32>) -> !graph.tensor<[N, 2], f32> {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !graph.tensor<[2, 2], f32>
    %s = tensor.constant #ir.weight<[0.5, 0.5]> : !graph.tensor<[2], f32>
    %t = tensor.compute [%i : 2] : !graph.tensor<[2], f32> {
      %0 = tensor.read %w[1 - %i, %i]
      tensor.yield %0 : f32
    }
    %a = tensor.compute [%i : N, %j : 2] : !graph.tensor<[N, 2], f32> {
      %two = arith.constant 2.0 : f32
      %0 = tensor.read %x[%i, %j]
      %1 = tensor.read %s[%j]
      %2 = arith.mulf %1, %two : f32
      %3 = tensor.read %t[%j]
      %4 = arith.mulf %0, %3 : f32
      %5 = arith.addf %4, %2 : f32
      tensor.yield %5 : f32
    }
    func.return %a : !graph.tensor<[N, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 2], f32>) -> !graph.tensor<[N, 2], f32> {
    %t = tensor.constant #ir.weight<[3.0, 2.0]> : !graph.tensor<[2], f32>
    %a = tensor.compute [%i : N, %j : 2] : !graph.tensor<[N, 2], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = arith.constant 1.000000e+00 : f32
      %2 = tensor.read %t[%j]
      %3 = arith.mulf %0, %2 : f32
      %4 = arith.addf %3, %1 : f32
      tensor.yield %4 : f32
    }
    func.return %a : !graph.tensor<[N, 2], f32>
  }
}
