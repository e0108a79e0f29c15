// passes: tensor-to-loop
// A reduction with a finish: start value, accumulation and finish in nests of their own. A map with padding. The output
// buffer takes the result directly.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 8], f32> {ircc.name = "x"}, %w : !graph.tensor<[8, 4], f32> {ircc.name = "w"}) -> (!graph.tensor<[N + 2, 4], f32> {ircc.name = "y"}) {
    %p = tensor.compute [%i : N, %j : 4] add [%k : 8] {nodes = ["MatMul_0", "Relu_1"]} : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %x[%i, %k]
      %1 = tensor.read %w[%k, %j]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    } finish {
    ^bb0(%i : index, %j : index, %sum : f32):
      %zero = arith.constant 0.0 : f32
      %0 = arith.maximumf %sum, %zero : f32
      tensor.yield %0 : f32
    }
    %y = tensor.compute [%i : N + 2, %j : 4] {nodes = ["Pad_2"]} : !graph.tensor<[N + 2, 4], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %p[%i - 1, %j] else %zero
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[N + 2, 4], f32>
  }
}
// =====
builtin.module {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[N, 8], f32>, %in1 "in1" : !loop.buffer<[8, 4], f32>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<68 * N>, nodes = ["MatMul_0", "Relu_1"]} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = arith.constant 0.000000e+00 : f32
        loop.store %0, %out[%i0, %i1]
      }
    }
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        loop.for "k0" %k0 = 0 to 8 reduction {
          %0 = loop.load %in0[%i0, %k0]
          %1 = loop.load %in1[%k0, %i1]
          %2 = arith.mulf %0, %1 : f32
          %3 = loop.load %out[%i0, %i1]
          %4 = arith.addf %3, %2 : f32
          loop.store %4, %out[%i0, %i1]
        }
      }
    }
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = loop.load %out[%i0, %i1]
        %zero = arith.constant 0.000000e+00 : f32
        %1 = arith.maximumf %0, %zero : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @Pad_2(%in0 "in0" : !loop.buffer<[N, 4], f32>, %out "out" : !loop.buffer<[N + 2, 4], f32>) outputs 1 sizes ["N"] attributes {nodes = ["Pad_2"]} {
    loop.for "i0" %i0 = 0 to N + 2 parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %zero = arith.constant 0.000000e+00 : f32
        %0 = loop.load %in0[%i0 - 1, %i1] else %zero
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 8], f32>, %w "w" : !loop.buffer<[8, 4], f32>, %y "y" : !loop.buffer<[N + 2, 4], f32>) outputs 1 {
    %t1 = loop.alloc "t1" : !loop.buffer<[N, 4], f32>
    loop.call @MatMul_0.Relu_1(%x, %w, %t1) sizes [N] {nodes = ["MatMul_0", "Relu_1"]}
    loop.call @Pad_2(%t1, %y) sizes [N] {nodes = ["Pad_2"]}
  }
}
// -----
// passes: tensor-to-loop
// Equal computes share a kernel; an output that is an input is copied; a gather keeps its guard.
builtin.module {
  func.func @main(%x : !graph.tensor<[5], f32>, %t : !graph.tensor<[3], i64>) -> (!graph.tensor<[3], f32>, !graph.tensor<[3], f32>, !graph.tensor<[5], f32>) {
    %a = tensor.compute [%i : 3] {nodes = ["Gather_0"]} : !graph.tensor<[3], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %t[%i]
      %1 = arith.index_cast %0 : i64 to index
      %2 = tensor.read %x[%1] else %zero
      tensor.yield %2 : f32
    }
    %b = tensor.compute [%i : 3] {nodes = ["Gather_1"]} : !graph.tensor<[3], f32> {
      %zero = arith.constant 0.0 : f32
      %0 = tensor.read %t[%i]
      %1 = arith.index_cast %0 : i64 to index
      %2 = tensor.read %x[%1] else %zero
      tensor.yield %2 : f32
    }
    func.return %a, %b, %x : !graph.tensor<[3], f32>, !graph.tensor<[3], f32>, !graph.tensor<[5], f32>
  }
}
// =====
builtin.module {
  loop.kernel @Gather_0(%in0 "in0" : !loop.buffer<[3], i64>, %in1 "in1" : !loop.buffer<[5], f32>, %out "out" : !loop.buffer<[3], f32>) outputs 1 attributes {nodes = ["Gather_0", "Gather_1"]} {
    loop.for "i0" %i0 = 0 to 3 parallel {
      %zero = arith.constant 0.000000e+00 : f32
      %0 = loop.load %in0[%i0]
      %1 = arith.index_cast %0 : i64 to index
      %2 = loop.load %in1[%1] else %zero
      loop.store %2, %out[%i0]
    }
  }
  loop.kernel @copy(%in0 "in0" : !loop.buffer<[5], f32>, %out "out" : !loop.buffer<[5], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 5 parallel {
      %0 = loop.load %in0[%i0]
      loop.store %0, %out[%i0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[5], f32>, %input_1 "input_1" : !loop.buffer<[3], i64>, %output "output_0" : !loop.buffer<[3], f32>, %output_1 "output_1" : !loop.buffer<[3], f32>, %output_2 "output_2" : !loop.buffer<[5], f32>) outputs 3 {
    loop.call @Gather_0(%input_1, %input, %output) {nodes = ["Gather_0"]}
    loop.call @Gather_0(%input_1, %input, %output_1) {nodes = ["Gather_1"]}
    loop.call @copy(%input, %output_2)
  }
}
// -----
// passes: tensor-to-loop
// Updates work in the buffer of what they start from, if it was computed for them alone, else in a copy. What may be
// outside of the tensor is skipped; places that are inside for sure are just written.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32> {ircc.name = "x"}, %at : !graph.tensor<[M], i64> {ircc.name = "at"}) -> (!graph.tensor<[N, 4], f32> {ircc.name = "y"}, !graph.tensor<[N, 4], f32> {ircc.name = "z"}) {
    %a = tensor.compute [%i : N, %j : 4] {nodes = ["Abs_0"]} : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = math.absf %0 : f32
      tensor.yield %1 : f32
    }
    %y = tensor.update %a as %now [%j : 4] in order [%k : N - 1] {nodes = ["CumSum_1"]} : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %now[%k, %j]
      %1 = tensor.read %now[%k + 1, %j]
      %2 = arith.addf %0, %1 : f32
      tensor.put %2 at [%k + 1, %j]
    }
    %z = tensor.update %x as %now [%j : 4] in order [%k : M] {nodes = ["ScatterND_2"]} : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %at[%k]
      %1 = arith.index_cast %0 : i64 to index
      %one = arith.constant 1.0 : f32
      tensor.put %one at [%1, %j]
    }
    func.return %y, %z : !graph.tensor<[N, 4], f32>, !graph.tensor<[N, 4], f32>
  }
}
// =====
builtin.module {
  loop.kernel @Abs_0(%in0 "in0" : !loop.buffer<[N, 4], f32>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<4 * N>, nodes = ["Abs_0"]} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "i1" %i1 = 0 to 4 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = math.absf %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @CumSum_1(%out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<4 * max(0, N - 1)>, nodes = ["CumSum_1"]} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "k0" %k0 = 0 to max(0, N - 1) ordered {
        %0 = loop.load %out[%k0, %i0]
        %1 = loop.load %out[%k0 + 1, %i0]
        %2 = arith.addf %0, %1 : f32
        loop.store %2, %out[%k0 + 1, %i0]
      }
    }
  }
  loop.kernel @ScatterND_2(%in0 "in0" : !loop.buffer<[M], i64>, %out "out" : !loop.buffer<[N, 4], f32>) outputs 1 sizes ["M", "N"] attributes {nodes = ["ScatterND_2"]} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "k0" %k0 = 0 to M ordered {
        %0 = loop.load %in0[%k0]
        %1 = arith.index_cast %0 : i64 to index
        %one = arith.constant 1.000000e+00 : f32
        loop.store %one, %out[%1, %i0] else skip
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 4], f32>, %at "at" : !loop.buffer<[M], i64>, %y "y" : !loop.buffer<[N, 4], f32>, %z "z" : !loop.buffer<[N, 4], f32>) outputs 2 {
    loop.call @Abs_0(%x, %y) sizes [N] {nodes = ["Abs_0"]}
    loop.call @CumSum_1(%y) sizes [N] {nodes = ["CumSum_1"]}
    loop.copy %x, %z
    loop.call @ScatterND_2(%at, %z) sizes [M, N] {nodes = ["ScatterND_2"]}
  }
}
// -----
// passes: tensor-to-loop
// Bodies become parts of the program: a state is one buffer, rows are views, and a branch writes the result's buffer.
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4], f32> {ircc.name = "x"}, %h: !graph.tensor<[4], f32> {ircc.name = "h"}, %c: !graph.tensor<[], i1> {ircc.name = "c"}) -> (!graph.tensor<[4], f32>, !graph.tensor<[N, 4], f32>) attributes {ircc.checks = []} {
    %z = control.if %c then @keep(%h) else @twice(%h) : !graph.tensor<[4], f32>
    %s, %o = control.loop @sum "$i" to N states (%z) scanned (reversed %x) : !graph.tensor<[4], f32>, reversed !graph.tensor<[N, 4], f32>
    func.return %s, %o : !graph.tensor<[4], f32>, !graph.tensor<[N, 4], f32>
  }
  func.func private @keep(%h: !graph.tensor<[4], f32>) -> !graph.tensor<[4], f32> {
    func.return %h : !graph.tensor<[4], f32>
  }
  func.func private @twice(%h: !graph.tensor<[4], f32>) -> !graph.tensor<[4], f32> {
    %y = tensor.compute [%i : 4] : !graph.tensor<[4], f32> {
      %a = tensor.read %h[%i]
      %b = arith.addf %a, %a : f32
      tensor.yield %b : f32
    }
    func.return %y : !graph.tensor<[4], f32>
  }
  func.func private @sum(%s: !graph.tensor<[4], f32>, %row: !graph.tensor<[4], f32>) -> (!graph.tensor<[4], f32>, !graph.tensor<[4], f32>) {
    %y = tensor.compute [%i : 4] : !graph.tensor<[4], f32> {
      %a = tensor.read %s[%i]
      %b = tensor.read %row[%i]
      %t = arith.addf %a, %b : f32
      tensor.yield %t : f32
    }
    func.return %y, %y : !graph.tensor<[4], f32>, !graph.tensor<[4], f32>
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {flops = #ir.expr<4>} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %b = arith.addf %0, %0 : f32
      loop.store %b, %out[%i0]
    }
  }
  loop.kernel @map_2(%in0 "in0" : !loop.buffer<[4], f32>, %in1 "in1" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {flops = #ir.expr<4>} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = loop.load %in1[%i0]
      %t = arith.addf %0, %1 : f32
      loop.store %t, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 4], f32>, %h "h" : !loop.buffer<[4], f32>, %c "c" : !loop.buffer<[], i1>, %output "output_0" : !loop.buffer<[4], f32>, %output_1 "output_1" : !loop.buffer<[N, 4], f32>) outputs 2 {
    %t1 = loop.alloc "t1" : !loop.buffer<[4], f32>
    loop.if %c {
      loop.copy %h, %t1
    } else {
      loop.call @map(%h, %t1)
    }
    loop.copy %t1, %output
    loop.while "$i" to N {
      %0 = loop.view %x at 4 * N - 4 * "$i" - 4 : !loop.buffer<[4], f32>
      %1 = loop.view %output_1 at 4 * N - 4 * "$i" - 4 : !loop.buffer<[4], f32>
      loop.call @map_2(%output, %0, %1)
      loop.copy %1, %output
    }
  }
}
