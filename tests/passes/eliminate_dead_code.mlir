// passes: eliminate-dead-code
// A chain that nobody uses goes, its end first; what is returned stays. So do operations in bodies.
builtin.module {
  func.func @main(%x : !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
    %a = tensor.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>
    %b = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %a[0]
      tensor.yield %0 : f32
    }
    %c = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i]
      %1 = tensor.read %b[%i]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %0 : f32
    }
    func.return %c : !graph.tensor<[N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
    %c = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
      %0 = tensor.read %x[%i]
      tensor.yield %0 : f32
    }
    func.return %c : !graph.tensor<[N], f32>
  }
}
