// passes: eliminate-common-subexpressions
// Equal constants, equal computes and equal reads become one; the nodes of both are named.
builtin.module {
  func.func @main(%x : !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %a = tensor.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
    %b = tensor.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
    %c = tensor.compute [%i : N] {nodes = ["Add_0"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i]
      %1 = tensor.read %a[0]
      %2 = tensor.read %a[0]
      %3 = arith.addf %0, %1 : f32
      %4 = arith.mulf %3, %2 : f32
      tensor.yield %4 : f32
    }
    %d = tensor.compute [%j : N] {nodes = ["Add_1"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%j]
      %1 = tensor.read %b[0]
      %2 = tensor.read %b[0]
      %3 = arith.addf %0, %1 : f32
      %4 = arith.mulf %3, %2 : f32
      tensor.yield %4 : f32
    }
    func.return %c, %d : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N], f32>) -> (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>) {
    %a = tensor.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
    %c = tensor.compute [%i : N] {nodes = ["Add_0", "Add_1"]} : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i]
      %1 = tensor.read %a[0]
      %2 = arith.addf %0, %1 : f32
      %3 = arith.mulf %2, %1 : f32
      tensor.yield %3 : f32
    }
    func.return %c, %c : !graph.tensor<[N], f32>, !graph.tensor<[N], f32>
  }
}
