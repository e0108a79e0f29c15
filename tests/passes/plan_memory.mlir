// passes: tensor-to-loop,plan-memory
// A chain of maps is updated in place; the transposition needs a buffer of its own, and the last map takes the first
// one's place again.
builtin.module {
  func.func @main(%x : !graph.tensor<[6, 8], f32> {ircc.name = "x"}) -> (!graph.tensor<[8, 6], f32> {ircc.name = "y"}) {
    %a = tensor.compute [%i : 6, %j : 8] : !graph.tensor<[6, 8], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    %b = tensor.compute [%i : 6, %j : 8] : !graph.tensor<[6, 8], f32> {
      %0 = tensor.read %a[%i, %j]
      %1 = arith.addf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %c = tensor.compute [%i : 8, %j : 6] : !graph.tensor<[8, 6], f32> {
      %0 = tensor.read %b[%j, %i]
      tensor.yield %0 : f32
    }
    %d = tensor.compute [%i : 8, %j : 6] : !graph.tensor<[8, 6], f32> {
      %0 = tensor.read %c[7 - %i, %j]
      tensor.yield %0 : f32
    }
    %e = tensor.compute [%i : 8, %j : 6] : !graph.tensor<[8, 6], f32> {
      %0 = tensor.read %d[%i, 5 - %j]
      tensor.yield %0 : f32
    }
    func.return %e : !graph.tensor<[8, 6], f32>
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[6, 8], f32>, %out "out" : !loop.buffer<[6, 8], f32>) outputs 1 attributes {flops = #ir.expr<48>} {
    loop.for "i0" %i0 = 0 to 6 parallel {
      loop.for "i1" %i1 = 0 to 8 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.negf %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_2(%in0 "in0" : !loop.buffer<[6, 8], f32>, %out "out" : !loop.buffer<[6, 8], f32>) outputs 1 attributes {flops = #ir.expr<48>} {
    loop.for "i0" %i0 = 0 to 6 parallel {
      loop.for "i1" %i1 = 0 to 8 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_3(%in0 "in0" : !loop.buffer<[6, 8], f32>, %out "out" : !loop.buffer<[8, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 8 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i1, %i0]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_4(%in0 "in0" : !loop.buffer<[8, 6], f32>, %out "out" : !loop.buffer<[8, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 8 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[-%i0 + 7, %i1]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_5(%in0 "in0" : !loop.buffer<[8, 6], f32>, %out "out" : !loop.buffer<[8, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 8 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i0, -%i1 + 5]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[6, 8], f32>, %y "y" : !loop.buffer<[8, 6], f32>) outputs 1 attributes {arena = #ir.expr<384>} {
    %t1 = loop.alloc "t1" at 0 : !loop.buffer<[6, 8], f32>
    loop.call @map(%x, %t1)
    loop.call @map_2(%t1, %t1)
    %t3 = loop.alloc "t3" at 192 : !loop.buffer<[8, 6], f32>
    loop.call @map_3(%t1, %t3)
    %t4 = loop.alloc "t4" at 0 : !loop.buffer<[8, 6], f32>
    loop.call @map_4(%t3, %t4)
    loop.call @map_5(%t4, %y)
  }
}
// -----
// passes: tensor-to-loop,plan-memory{in-place=false}
// Buffers of symbolic sizes share places; without updates in place every value has its own while it lives.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32> {
    %a = tensor.compute [%i : N, %j : 4] : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    %b = tensor.compute [%i : N, %j : 4] : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %a[%i, %j]
      %1 = arith.addf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %c = tensor.compute [%i : N, %j : 4] : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %b[%i, %j]
      %1 = arith.mulf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %d = tensor.compute [%i : N, %j : 4] : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %c[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    func.return %d : !graph.tensor<[N, 4], f32>
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[N, 4], f32>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<4 * N>} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.negf %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_2(%in0 "in0" : !loop.buffer<[N, 4], f32>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<4 * N>} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @map_3(%in0 "in0" : !loop.buffer<[N, 4], f32>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<4 * N>} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.mulf %0, %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[N, 4], f32>, %output "output_0" : !loop.buffer<[N, 4], f32>) outputs 1 attributes {arena = #ir.expr<64 * ((16 * N + 31) floordiv 32) + 64>} {
    %t1 = loop.alloc "t1" at 0 : !loop.buffer<[N, 4], f32>
    loop.call @map(%input, %t1) sizes [N]
    %t2 = loop.alloc "t2" at 64 * ((16 * N + 63) floordiv 64) : !loop.buffer<[N, 4], f32>
    loop.call @map_2(%t1, %t2) sizes [N]
    %t3 = loop.alloc "t3" at 0 : !loop.buffer<[N, 4], f32>
    loop.call @map_3(%t2, %t3) sizes [N]
    loop.call @map(%t3, %output) sizes [N]
  }
}
// -----
// passes: plan-memory
// In place where every element is read before it is written, also by loops that are split; not where a second nest reads
// what the first has overwritten.
builtin.module {
  loop.kernel @split(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "b" %2 = 0 to N floordiv 4 parallel {
      %3 = loop.load %0[4 * %2] : vector<4xf32>
      %4 = arith.addf %3, %3 : vector<4xf32>
      loop.store %4, %1[4 * %2]
    }
    loop.for "t" %2 = 4 * (N floordiv 4) to N parallel {
      %3 = loop.load %0[%2]
      %4 = arith.addf %3, %3 : f32
      loop.store %4, %1[%2]
    }
  }
  loop.kernel @twice(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i" %2 = 0 to N parallel {
      %3 = loop.load %0[%2]
      loop.store %3, %1[%2]
    }
    loop.for "j" %2 = 0 to N parallel {
      %3 = loop.load %0[%2]
      %4 = arith.addf %3, %3 : f32
      loop.store %4, %1[%2]
    }
  }
  loop.kernel @behind(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    %2 = arith.constant 0.000000e+00 : f32
    loop.for "i" %3 = 0 to N parallel {
      %4 = loop.load %0[%3 - 1] else %2
      loop.store %4, %1[%3]
    }
  }
  loop.program @main(%0 "x" : !loop.buffer<[N], f32>, %1 "y" : !loop.buffer<[N], f32>) outputs 1 {
    %a = loop.alloc "a" : !loop.buffer<[N], f32>
    loop.call @split(%0, %a) sizes [N]
    %b = loop.alloc "b" : !loop.buffer<[N], f32>
    loop.call @split(%a, %b) sizes [N]
    %c = loop.alloc "c" : !loop.buffer<[N], f32>
    loop.call @twice(%b, %c) sizes [N]
    %d = loop.alloc "d" : !loop.buffer<[N], f32>
    loop.call @behind(%c, %d) sizes [N]
    loop.call @split(%d, %1) sizes [N]
  }
}
// =====
builtin.module {
  loop.kernel @split(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "b" %2 = 0 to N floordiv 4 parallel {
      %3 = loop.load %0[4 * %2] : vector<4xf32>
      %4 = arith.addf %3, %3 : vector<4xf32>
      loop.store %4, %1[4 * %2]
    }
    loop.for "t" %2 = 4 * (N floordiv 4) to N parallel {
      %3 = loop.load %0[%2]
      %4 = arith.addf %3, %3 : f32
      loop.store %4, %1[%2]
    }
  }
  loop.kernel @twice(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i" %2 = 0 to N parallel {
      %3 = loop.load %0[%2]
      loop.store %3, %1[%2]
    }
    loop.for "j" %2 = 0 to N parallel {
      %3 = loop.load %0[%2]
      %4 = arith.addf %3, %3 : f32
      loop.store %4, %1[%2]
    }
  }
  loop.kernel @behind(%0 "in0" : !loop.buffer<[N], f32>, %1 "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    %2 = arith.constant 0.000000e+00 : f32
    loop.for "i" %3 = 0 to N parallel {
      %4 = loop.load %0[%3 - 1] else %2
      loop.store %4, %1[%3]
    }
  }
  loop.program @main(%0 "x" : !loop.buffer<[N], f32>, %1 "y" : !loop.buffer<[N], f32>) outputs 1 attributes {arena = #ir.expr<64 * ((4 * N + 31) floordiv 32) + 64>} {
    %a = loop.alloc "a" at 0 : !loop.buffer<[N], f32>
    loop.call @split(%0, %a) sizes [N]
    loop.call @split(%a, %a) sizes [N]
    %c = loop.alloc "c" at 64 * ((4 * N + 63) floordiv 64) : !loop.buffer<[N], f32>
    loop.call @twice(%a, %c) sizes [N]
    %d = loop.alloc "d" at 0 : !loop.buffer<[N], f32>
    loop.call @behind(%c, %d) sizes [N]
    loop.call @split(%d, %1) sizes [N]
  }
}
