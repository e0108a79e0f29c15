// passes: fix-sizes{sizes="N=8"}
// Types, bodies and results say 8; the check that two sizes are equal stays, with 8 in it, and the one that holds goes.
builtin.module {
  func.func @main(%x: !graph.tensor<[N, H], f32>, %y: !graph.tensor<[M], f32>) -> !graph.tensor<[H, N], f32> attributes {ircc.checks = [#ir.check<M - N, "x and y differ in size">, #ir.check<min(N, 1) - 1, "N is below 1">]} {
    %z = tensor.compute [%i : H, %j : N] : !graph.tensor<[H, N], f32> {
      %0 = tensor.read %x[%j, %i]
      %1 = tensor.read %y[N - %j - 1]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %z : !graph.tensor<[H, N], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[8, H], f32>, %y: !graph.tensor<[M], f32>) -> !graph.tensor<[H, 8], f32> attributes {ircc.checks = [#ir.check<M - 8, "x and y differ in size">]} {
    %z = tensor.compute [%i : H, %j : 8] : !graph.tensor<[H, 8], f32> {
      %0 = tensor.read %x[%j, %i]
      %1 = tensor.read %y[-%j + 7]
      %2 = arith.addf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %z : !graph.tensor<[H, 8], f32>
  }
}
// -----
// passes: fix-sizes{sizes="H=W"}
// A size takes the place of another.
builtin.module {
  func.func @main(%x: !graph.tensor<[H, W], f32>) -> !graph.tensor<[W, H floordiv 2], f32> {
    %y = tensor.compute [%i : W, %j : H floordiv 2] : !graph.tensor<[W, H floordiv 2], f32> {
      %0 = tensor.read %x[%j * 2, %i]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[W, H floordiv 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[W, W], f32>) -> !graph.tensor<[W, W floordiv 2], f32> {
    %y = tensor.compute [%i : W, %j : W floordiv 2] : !graph.tensor<[W, W floordiv 2], f32> {
      %0 = tensor.read %x[2 * %j, %i]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[W, W floordiv 2], f32>
  }
}
// -----
// passes: fix-sizes{sizes="N=4"}
// The host program gets numbers; the kernel, whose N is its own, is passed them.
builtin.module {
  loop.kernel @negate(%x "x" : !loop.buffer<[N], f32>, %y "y" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i" %i = 0 to N parallel {
      %0 = loop.load %x[%i]
      %1 = arith.negf %0 : f32
      loop.store %1, %y[%i]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N], f32>, %y "y" : !loop.buffer<[N], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[N], f32>
    loop.call @negate(%x, %t) sizes [N]
    loop.call @negate(%t, %y) sizes [N]
  }
}
// =====
builtin.module {
  loop.kernel @negate(%x "x" : !loop.buffer<[N], f32>, %y "y" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i" %i = 0 to N parallel {
      %0 = loop.load %x[%i]
      %1 = arith.negf %0 : f32
      loop.store %1, %y[%i]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[4], f32>
    loop.call @negate(%x, %t) sizes [4]
    loop.call @negate(%t, %y) sizes [4]
  }
}
