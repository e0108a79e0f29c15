// passes: apply-schedules
// A constant takes on the layout that its kernel asks for; who reads it as it was keeps it.
builtin.module {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 schedule [
    "layout in1 (d0, d1) -> (d1 floordiv 2) * 4 + d0 * 2 + d1 mod 2",
    "fuse i0",
    "fuse i1",
    "split i1 2 -> i1 i1t",
    "sink i0 past i1",
    "split i0 2|rest -> i0 i0t",
    "sink i1t past k0",
    "sink i0t past k0",
    "vectorize i1t 2",
    "unroll i0t k0",
    "stage out at i0 in register as acc",
    "parallel i1   # two panels"
  ] attributes {flops = #ir.expr<100>, nodes = ["MatMul_0", "Relu_1"]} {
    loop.for "i0" %0 = 0 to 5 parallel {
      loop.for "i1" %1 = 0 to 4 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to 5 parallel {
      loop.for "i1" %1 = 0 to 4 parallel {
        loop.for "k0" %2 = 0 to 2 reduction {
          %3 = loop.load %in0[%0, %2]
          %4 = loop.load %in1[%2, %1]
          %5 = arith.mulf %3, %4 : f32
          %6 = loop.load %out[%0, %1]
          %7 = arith.addf %6, %5 : f32
          loop.store %7, %out[%0, %1]
        }
      }
    }
    loop.for "i0" %0 = 0 to 5 parallel {
      loop.for "i1" %1 = 0 to 4 parallel {
        %2 = loop.load %out[%0, %1]
        %3 = arith.constant 0.000000e+00 : f32
        %4 = arith.maximumf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.kernel @Add_2(%in0 "in0" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[2, 4], f32>) outputs 1 attributes {flops = #ir.expr<8>, nodes = ["Add_2"]} {
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 4 parallel {
        %2 = loop.load %in0[%0, %1]
        %3 = arith.constant 1.000000e+00 : f32
        %4 = arith.addf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[5, 2], f32>, %output "output_0" : !loop.buffer<[5, 4], f32>, %output_1 "output_1" : !loop.buffer<[2, 4], f32>) outputs 2 {
    %0 = loop.constant #ir.weight<[0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]> : !loop.buffer<[2, 4], f32>
    loop.call @MatMul_0.Relu_1(%input, %0, %output) {nodes = ["MatMul_0", "Relu_1"]}
    loop.call @Add_2(%0, %output_1) {nodes = ["Add_2"]}
  }
}
// =====
builtin.module {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32, 2 * d0 + 4 * (d1 floordiv 2) + d1 mod 2>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 applied [
    "layout in1 (d0, d1) -> (d1 floordiv 2) * 4 + d0 * 2 + d1 mod 2",
    "fuse i0",
    "fuse i1",
    "split i1 2 -> i1 i1t",
    "sink i0 past i1",
    "split i0 2|rest -> i0 i0t",
    "sink i1t past k0",
    "sink i0t past k0",
    "vectorize i1t 2",
    "unroll i0t k0",
    "stage out at i0 in register as acc",
    "parallel i1   # two panels"
  ] attributes {flops = #ir.expr<100>, nodes = ["MatMul_0", "Relu_1"]} {
    loop.for "i1" %i1 = 0 to 4 step 2 parallel concurrent {
      loop.for "i0" %i0 = 0 to 4 step 2 parallel {
        %acc = loop.alloc "acc" : !loop.buffer<[2, 2], f32, "register">
        loop.for "i0t" %i0t = 0 to 2 parallel unrolled {
          %0 = arith.constant 0.000000e+00 : f32
          %1 = vector.broadcast %0 : f32 to vector<2xf32>
          loop.store %1, %acc[%i0t, 0]
        }
        loop.for "k0" %k0 = 0 to 2 reduction unrolled {
          loop.for "i0t" %i0t = 0 to 2 parallel unrolled {
            %0 = loop.load %in0[%i0 + %i0t, %k0]
            %1 = loop.load %in1[%k0, %i1] : vector<2xf32>
            %2 = vector.broadcast %0 : f32 to vector<2xf32>
            %3 = arith.mulf %2, %1 : vector<2xf32>
            %4 = loop.load %acc[%i0t, 0] : vector<2xf32>
            %5 = arith.addf %4, %3 : vector<2xf32>
            loop.store %5, %acc[%i0t, 0]
          }
        }
        loop.for "i0t" %i0t = 0 to 2 parallel unrolled {
          %0 = loop.load %acc[%i0t, 0] : vector<2xf32>
          %1 = arith.constant 0.000000e+00 : f32
          %2 = vector.broadcast %1 : f32 to vector<2xf32>
          %3 = arith.maximumf %0, %2 : vector<2xf32>
          loop.store %3, %acc[%i0t, 0]
        }
        loop.for "acc.i0t" %acc.i0t = 0 to 2 parallel unrolled {
          %0 = loop.load %acc[%acc.i0t, 0] : vector<2xf32>
          loop.store %0, %out[%i0 + %acc.i0t, %i1]
        }
      }
      loop.for "i0" %i0 = 4 to 5 parallel {
        %acc = loop.alloc "acc" : !loop.buffer<[1, 2], f32, "register">
        loop.for "i0t" %i0t = 0 to 1 parallel unrolled {
          %0 = arith.constant 0.000000e+00 : f32
          %1 = vector.broadcast %0 : f32 to vector<2xf32>
          loop.store %1, %acc[%i0t, 0]
        }
        loop.for "k0" %k0 = 0 to 2 reduction unrolled {
          loop.for "i0t" %i0t = 0 to 1 parallel unrolled {
            %0 = loop.load %in0[%i0 + %i0t, %k0]
            %1 = loop.load %in1[%k0, %i1] : vector<2xf32>
            %2 = vector.broadcast %0 : f32 to vector<2xf32>
            %3 = arith.mulf %2, %1 : vector<2xf32>
            %4 = loop.load %acc[%i0t, 0] : vector<2xf32>
            %5 = arith.addf %4, %3 : vector<2xf32>
            loop.store %5, %acc[%i0t, 0]
          }
        }
        loop.for "i0t" %i0t = 0 to 1 parallel unrolled {
          %0 = loop.load %acc[%i0t, 0] : vector<2xf32>
          %1 = arith.constant 0.000000e+00 : f32
          %2 = vector.broadcast %1 : f32 to vector<2xf32>
          %3 = arith.maximumf %0, %2 : vector<2xf32>
          loop.store %3, %acc[%i0t, 0]
        }
        loop.for "acc.i0t" %acc.i0t = 0 to 1 parallel unrolled {
          %0 = loop.load %acc[%acc.i0t, 0] : vector<2xf32>
          loop.store %0, %out[%i0 + %acc.i0t, %i1]
        }
      }
    }
  }
  loop.kernel @Add_2(%in0 "in0" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[2, 4], f32>) outputs 1 attributes {flops = #ir.expr<8>, nodes = ["Add_2"]} {
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 4 parallel {
        %2 = loop.load %in0[%0, %1]
        %3 = arith.constant 1.000000e+00 : f32
        %4 = arith.addf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[5, 2], f32>, %output "output_0" : !loop.buffer<[5, 4], f32>, %output_1 "output_1" : !loop.buffer<[2, 4], f32>) outputs 2 {
    %0 = loop.constant #ir.weight<[0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]> : !loop.buffer<[2, 4], f32, 2 * d0 + 4 * (d1 floordiv 2) + d1 mod 2>
    %1 = loop.constant #ir.weight<[0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]> : !loop.buffer<[2, 4], f32>
    loop.call @MatMul_0.Relu_1(%input, %0, %output) {nodes = ["MatMul_0", "Relu_1"]}
    loop.call @Add_2(%1, %output_1) {nodes = ["Add_2"]}
  }
}
// -----
// passes: apply-schedules
// An operand that is no constant is packed by a kernel of its own before the call.
builtin.module {
  loop.kernel @MatMul_1(%in0 "in0" : !loop.buffer<[4, 3], f32>, %in1 "in1" : !loop.buffer<[3, 5], f32>, %out "out" : !loop.buffer<[4, 5], f32>) outputs 1 schedule [
    "layout in1 (d0, d1) -> d0 + d1 * 3",
    "fuse i0",
    "fuse i1"
  ] attributes {flops = #ir.expr<140>, nodes = ["MatMul_1"]} {
    loop.for "i0" %0 = 0 to 4 parallel {
      loop.for "i1" %1 = 0 to 5 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to 4 parallel {
      loop.for "i1" %1 = 0 to 5 parallel {
        loop.for "k0" %2 = 0 to 3 reduction {
          %3 = loop.load %in0[%0, %2]
          %4 = loop.load %in1[%2, %1]
          %5 = arith.mulf %3, %4 : f32
          %6 = loop.load %out[%0, %1]
          %7 = arith.addf %6, %5 : f32
          loop.store %7, %out[%0, %1]
        }
      }
    }
    loop.for "i0" %0 = 0 to 4 parallel {
      loop.for "i1" %1 = 0 to 5 parallel {
        %2 = loop.load %out[%0, %1]
        %3 = arith.constant 0.000000e+00 : f32
        %4 = arith.maximumf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4, 3], f32>, %input_1 "input_1" : !loop.buffer<[3, 5], f32>, %output "output_0" : !loop.buffer<[4, 5], f32>) outputs 1 {
    loop.call @MatMul_1(%input, %input_1, %output) {nodes = ["MatMul_1"]}
  }
}
// =====
builtin.module {
  loop.kernel @MatMul_1(%in0 "in0" : !loop.buffer<[4, 3], f32>, %in1 "in1" : !loop.buffer<[3, 5], f32, d0 + 3 * d1>, %out "out" : !loop.buffer<[4, 5], f32>) outputs 1 applied [
    "layout in1 (d0, d1) -> d0 + d1 * 3",
    "fuse i0",
    "fuse i1"
  ] attributes {flops = #ir.expr<140>, nodes = ["MatMul_1"]} {
    loop.for "i0" %0 = 0 to 4 parallel {
      loop.for "i1" %1 = 0 to 5 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
        loop.for "k0" %3 = 0 to 3 reduction {
          %4 = loop.load %in0[%0, %3]
          %5 = loop.load %in1[%3, %1]
          %6 = arith.mulf %4, %5 : f32
          %7 = loop.load %out[%0, %1]
          %8 = arith.addf %7, %6 : f32
          loop.store %8, %out[%0, %1]
        }
        %3 = loop.load %out[%0, %1]
        %4 = arith.constant 0.000000e+00 : f32
        %5 = arith.maximumf %3, %4 : f32
        loop.store %5, %out[%0, %1]
      }
    }
  }
  loop.kernel @pack(%in0 "in0" : !loop.buffer<[3, 5], f32>, %out "out" : !loop.buffer<[3, 5], f32, d0 + 3 * d1>) outputs 1 strategy "transposition" applied [
    "sink i0 past i1",
    "split i1 4|rest -> i1 i1t",
    "split i0 4|rest -> i0 i0t",
    "sink i1t past i0",
    "unroll i1t i0t",
    "stage in0 at i0 in register as turned0",
    "sink turned0.i1t past turned0.i0t",
    "vectorize turned0.i1t 4",
    "vectorize i0t 4"
  ] {
    loop.for "i1" %i1 = 0 to 4 step 4 parallel {
      loop.for "i0" %i0 = 0 to 3 step 3 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[3, 4], f32, "register">
        loop.for "turned0.i0t" %turned0.i0t = 0 to 3 parallel unrolled {
          %0 = loop.load %in0[%i0 + %turned0.i0t, %i1] : vector<4xf32>
          loop.store %0, %turned0[%turned0.i0t, 0]
        }
        loop.for "i1t" %i1t = 0 to 4 parallel unrolled {
          %0 = loop.load %turned0[0, %i1t] lanes [1, 0] active 3 : vector<4xf32>
          loop.store %0, %out[%i0, %i1 + %i1t] lanes [1, 0] active 3
        }
      }
    }
    loop.for "i1" %i1 = 4 to 5 parallel {
      loop.for "i0" %i0 = 0 to 3 step 3 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[3, 1], f32, "register">
        loop.for "turned0.i0t" %turned0.i0t = 0 to 3 parallel unrolled {
          %0 = loop.load %in0[%i0 + %turned0.i0t, %i1]
          loop.store %0, %turned0[%turned0.i0t, 0]
        }
        loop.for "i1t" %i1t = 0 to 1 parallel unrolled {
          %0 = loop.load %turned0[0, %i1t] lanes [1, 0] active 3 : vector<4xf32>
          loop.store %0, %out[%i0, %i1 + %i1t] lanes [1, 0] active 3
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4, 3], f32>, %input_1 "input_1" : !loop.buffer<[3, 5], f32>, %output "output_0" : !loop.buffer<[4, 5], f32>) outputs 1 {
    %0 = loop.alloc "input.packed" : !loop.buffer<[3, 5], f32, d0 + 3 * d1>
    loop.call @pack(%input_1, %0) {nodes = ["MatMul_1"]}
    loop.call @MatMul_1(%input, %0, %output) {nodes = ["MatMul_1"]}
  }
}
// -----
// passes: apply-schedules
// Sizes that are not known: what 4, 2 and 1 leave over goes by loops of the same labels.
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[M, 8], f32>, %out "out" : !loop.buffer<[M, 8], f32>) outputs 1 sizes ["M"] schedule [
    "split i0 4|2|1 -> i0 i0t",
    "vectorize i1 8",
    "unroll i0t"
  ] attributes {flops = #ir.expr<8 * M>} {
    loop.for "i0" %0 = 0 to M parallel {
      loop.for "i1" %1 = 0 to 8 parallel {
        %2 = loop.load %in0[%0, %1]
        %3 = arith.constant 2.000000e+00 : f32
        %4 = arith.mulf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[M, 8], f32>, %output "output_0" : !loop.buffer<[M, 8], f32>) outputs 1 {
    loop.call @map(%input, %output) sizes [M]
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[M, 8], f32>, %out "out" : !loop.buffer<[M, 8], f32>) outputs 1 sizes ["M"] applied [
    "split i0 4|2|1 -> i0 i0t",
    "vectorize i1 8",
    "unroll i0t"
  ] attributes {flops = #ir.expr<8 * M>} {
    loop.for "i0" %i0 = 0 to 4 * (M floordiv 4) step 4 parallel {
      loop.for "i0t" %i0t = 0 to 4 parallel unrolled {
        %0 = loop.load %in0[%i0 + %i0t, 0] : vector<8xf32>
        %1 = arith.constant 2.000000e+00 : f32
        %2 = vector.broadcast %1 : f32 to vector<8xf32>
        %3 = arith.mulf %0, %2 : vector<8xf32>
        loop.store %3, %out[%i0 + %i0t, 0]
      }
    }
    loop.for "i0" %i0 = 4 * (M floordiv 4) to 2 * (M floordiv 2) step 2 parallel {
      loop.for "i0t" %i0t = 0 to 2 parallel unrolled {
        %0 = loop.load %in0[%i0 + %i0t, 0] : vector<8xf32>
        %1 = arith.constant 2.000000e+00 : f32
        %2 = vector.broadcast %1 : f32 to vector<8xf32>
        %3 = arith.mulf %0, %2 : vector<8xf32>
        loop.store %3, %out[%i0 + %i0t, 0]
      }
    }
    loop.for "i0" %i0 = 2 * (M floordiv 2) to M parallel {
      loop.for "i0t" %i0t = 0 to 1 parallel unrolled {
        %0 = loop.load %in0[%i0 + %i0t, 0] : vector<8xf32>
        %1 = arith.constant 2.000000e+00 : f32
        %2 = vector.broadcast %1 : f32 to vector<8xf32>
        %3 = arith.mulf %0, %2 : vector<8xf32>
        loop.store %3, %out[%i0 + %i0t, 0]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[M, 8], f32>, %output "output_0" : !loop.buffer<[M, 8], f32>) outputs 1 {
    loop.call @map(%input, %output) sizes [M]
  }
}
// -----
// passes: apply-schedules
// Partial sums in lanes, combined in a fixed order; what is left over is added one by one.
builtin.module {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[3, K], f32>, %out "out" : !loop.buffer<[3], f32>) outputs 1 sizes ["K"] schedule [
    "fuse i0",
    "reassociate k0 8|1 at k0 -> k0 k0l as part",
    "vectorize k0l 8",
    "vectorize part.half 8",
    "stage part at i0 in register as acc",
    "stage out at i0 in register as total",
    "parallel i0"
  ] attributes {flops = #ir.expr<3 * K + 3>} {
    loop.for "i0" %0 = 0 to 3 parallel {
      %1 = arith.constant 0.000000e+00 : f32
      loop.store %1, %out[%0]
    }
    loop.for "i0" %0 = 0 to 3 parallel {
      loop.for "k0" %1 = 0 to K reduction {
        %2 = loop.load %in0[%0, %1]
        %3 = loop.load %out[%0]
        %4 = arith.addf %3, %2 : f32
        loop.store %4, %out[%0]
      }
    }
    loop.for "i0" %0 = 0 to 3 parallel {
      %1 = loop.load %out[%0]
      %2 = arith.constant 2.000000e+00 : f32
      %3 = arith.mulf %1, %2 : f32
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[3, K], f32>, %output "output_0" : !loop.buffer<[3], f32>) outputs 1 {
    loop.call @reduction(%input, %output) sizes [K]
  }
}
// =====
builtin.module {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[3, K], f32>, %out "out" : !loop.buffer<[3], f32>) outputs 1 sizes ["K"] applied [
    "fuse i0",
    "reassociate k0 8|1 at k0 -> k0 k0l as part",
    "vectorize k0l 8",
    "vectorize part.half 8",
    "stage part at i0 in register as acc",
    "stage out at i0 in register as total",
    "parallel i0"
  ] attributes {flops = #ir.expr<3 * K + 3>} {
    loop.for "i0" %0 = 0 to 3 parallel concurrent {
      %total = loop.alloc "total" : !loop.buffer<[1], f32, "register">
      %acc = loop.alloc "acc" : !loop.buffer<[8], f32, "register">
      %1 = arith.constant 0.000000e+00 : f32
      loop.store %1, %total[0]
      %2 = loop.alloc "part.sum" : !loop.buffer<[15], f32, "stack">
      %3 = arith.constant 0.000000e+00 : f32
      %4 = vector.broadcast %3 : f32 to vector<8xf32>
      loop.store %4, %acc[0]
      loop.for "k0.rest" %5 = 8 * (K floordiv 8) to K reduction {
        %6 = loop.load %in0[%0, %5]
        %7 = loop.load %total[0]
        %8 = arith.addf %7, %6 : f32
        loop.store %8, %total[0]
      }
      loop.for "k0" %k0 = 0 to 8 * (K floordiv 8) step 8 reduction {
        %5 = loop.load %in0[%0, %k0] : vector<8xf32>
        %6 = loop.load %acc[0] : vector<8xf32>
        %7 = arith.addf %6, %5 : vector<8xf32>
        loop.store %7, %acc[0]
      }
      %5 = loop.load %acc[0] : vector<8xf32>
      loop.store %5, %2[0]
      %6 = loop.load %2[0] : vector<4xf32>
      %7 = loop.load %2[4] : vector<4xf32>
      %8 = arith.addf %6, %7 : vector<4xf32>
      loop.store %8, %2[8]
      %9 = loop.load %2[8] : vector<2xf32>
      %10 = loop.load %2[10] : vector<2xf32>
      %11 = arith.addf %9, %10 : vector<2xf32>
      loop.store %11, %2[12]
      %12 = loop.load %2[12]
      %13 = loop.load %2[13]
      %14 = arith.addf %12, %13 : f32
      loop.store %14, %2[14]
      %15 = loop.load %total[0]
      %16 = loop.load %2[14]
      %17 = arith.addf %15, %16 : f32
      loop.store %17, %total[0]
      %18 = loop.load %total[0]
      %19 = arith.constant 2.000000e+00 : f32
      %20 = arith.mulf %18, %19 : f32
      loop.store %20, %total[0]
      %21 = loop.load %total[0]
      loop.store %21, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[3, K], f32>, %output "output_0" : !loop.buffer<[3], f32>) outputs 1 {
    loop.call @reduction(%input, %output) sizes [K]
  }
}
