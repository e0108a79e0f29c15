// passes: eliminate-identities
// Operators that do nothing to this operand.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32> {
    %0 = graph.identity %x : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %1 = graph.cast %0 <to = f32> : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %2 = graph.reshape %1 <shape = [N, 3]> : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %3 = graph.transpose %2 <perm = [0, 1]> : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %4 = graph.concat %3 <axis = 0> : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %5 = graph.relu %4 {nodes = ["Relu_5"]} : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    %6 = graph.identity %5 {nodes = ["Identity_6"]} : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    func.return %6 : !graph.tensor<[N, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32> {
    %0 = graph.relu %x {nodes = ["Relu_5", "Identity_6"]} : (!graph.tensor<[N, 3], f32>) -> !graph.tensor<[N, 3], f32>
    func.return %0 : !graph.tensor<[N, 3], f32>
  }
}
// -----
// passes: eliminate-identities
// A compute that copies goes, one that turns a square around stays.
builtin.module {
  func.func @main(%x : !graph.tensor<[3, 3], f32>) -> !graph.tensor<[3, 3], f32> {
    %a = tensor.compute [%i : 3, %j : 3] : !graph.tensor<[3, 3], f32> {
      %0 = tensor.read %x[%i, %j]
      tensor.yield %0 : f32
    }
    %b = tensor.compute [%i : 3, %j : 3] : !graph.tensor<[3, 3], f32> {
      %0 = tensor.read %a[%j, %i]
      tensor.yield %0 : f32
    }
    func.return %b : !graph.tensor<[3, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[3, 3], f32>) -> !graph.tensor<[3, 3], f32> {
    %b = tensor.compute [%i : 3, %j : 3] : !graph.tensor<[3, 3], f32> {
      %0 = tensor.read %x[%j, %i]
      tensor.yield %0 : f32
    }
    func.return %b : !graph.tensor<[3, 3], f32>
  }
}
