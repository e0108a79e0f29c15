// passes: select-schedules
// A matrix product: panels of a constant, tiles in registers. What has a schedule keeps it.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 attributes {flops = #ir.expr<100>, nodes = ["MatMul_0", "Relu_1"]} {
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
  loop.kernel @Add_2(%in0 "in0" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[2, 4], f32>) outputs 1 schedule [
    "unroll i0"
  ] attributes {flops = #ir.expr<8>, nodes = ["Add_2"]} {
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
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 strategy "contraction" schedule [
    "fuse i0",
    "fuse i1",
    "layout in1 (d0, d1) -> 4 * d0 + 8 * (d1 floordiv 4) + d1 mod 4",
    "split i1 4 -> i1 i1t",
    "sink i0 past i1",
    "split i0 5 -> i0 i0t",
    "sink i1t past k0",
    "sink i0t past k0",
    "split k0 2 -> k0 k0u",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i0t i1t k0u",
    "stage out at i0 in register as acc"
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
  loop.kernel @Add_2(%in0 "in0" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[2, 4], f32>) outputs 1 schedule [
    "unroll i0"
  ] attributes {flops = #ir.expr<8>, nodes = ["Add_2"]} {
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
// -----
// passes: select-schedules
// The same for a target with sixteen registers of four lanes, and no multiply-add.
builtin.module {
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 attributes {flops = #ir.expr<100>, nodes = ["MatMul_0", "Relu_1"]} {
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
  loop.kernel @MatMul_0.Relu_1(%in0 "in0" : !loop.buffer<[5, 2], f32>, %in1 "in1" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[5, 4], f32>) outputs 1 strategy "contraction" schedule [
    "fuse i0",
    "fuse i1",
    "layout in1 (d0, d1) -> 4 * d0 + 8 * (d1 floordiv 4) + d1 mod 4",
    "split i1 4 -> i1 i1t",
    "sink i0 past i1",
    "split i0 5 -> i0 i0t",
    "sink i1t past k0",
    "sink i0t past k0",
    "split k0 2 -> k0 k0u",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i0t i1t k0u",
    "stage out at i0 in register as acc"
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
  loop.kernel @Add_2(%in0 "in0" : !loop.buffer<[2, 4], f32>, %out "out" : !loop.buffer<[2, 4], f32>) outputs 1 strategy "elementwise" schedule [
    "split i1 4 -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t"
  ] attributes {flops = #ir.expr<8>, nodes = ["Add_2"]} {
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
// -----
// passes: select-schedules
// A convolution with bias and relu, of any height and width.
builtin.module attributes {ircc.target = {name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", vector_bits = 256 : i64, vector_registers = 16 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[1, H, W, 4], f32>, %in1 "in1" : !loop.buffer<[3, 3, 4, 16], f32>, %in2 "in2" : !loop.buffer<[16], f32>, %out "out" : !loop.buffer<[1, H - 2, W - 2, 16], f32>) outputs 1 sizes ["H", "W"] attributes {flops = #ir.expr<1184 * H * W - 2368 * H - 2368 * W + 4736>} {
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                loop.for "k2" %6 = 0 to 4 reduction {
                  %7 = loop.load %in0[%0, %1 + %4, %2 + %5, %6]
                  %8 = loop.load %in1[%4, %5, %6, %3]
                  %9 = arith.mulf %7, %8 : f32
                  %10 = loop.load %out[%0, %1, %2, %3]
                  %11 = arith.addf %10, %9 : f32
                  loop.store %11, %out[%0, %1, %2, %3]
                }
              }
            }
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            %4 = loop.load %out[%0, %1, %2, %3]
            %5 = loop.load %in2[%3]
            %6 = arith.addf %4, %5 : f32
            %7 = arith.constant 0.000000e+00 : f32
            %8 = arith.maximumf %6, %7 : f32
            loop.store %8, %out[%0, %1, %2, %3]
          }
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[1, H, W, 4], f32>, %input_1 "input_1" : !loop.buffer<[3, 3, 4, 16], f32>, %input_2 "input_2" : !loop.buffer<[16], f32>, %output "output_0" : !loop.buffer<[1, H - 2, W - 2, 16], f32>) outputs 1 {
    loop.call @reduction(%input, %input_1, %input_2, %output) sizes [H, W]
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v3", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v3", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", vector_bits = 256 : i64, vector_registers = 16 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[1, H, W, 4], f32>, %in1 "in1" : !loop.buffer<[3, 3, 4, 16], f32>, %in2 "in2" : !loop.buffer<[16], f32>, %out "out" : !loop.buffer<[1, H - 2, W - 2, 16], f32>) outputs 1 sizes ["H", "W"] strategy "contraction" schedule [
    "inline i0",
    "fuse i1",
    "fuse i2",
    "fuse i3",
    "split i3 16 -> i3 i3t",
    "sink i2 past i3",
    "split i2 6|1 -> i2 i2t",
    "sink i3t past k0 k1 k2",
    "sink i2t past k0 k1 k2",
    "split k2 4 -> k2 k2u",
    "split i3t 8|rest -> i3t i3l",
    "vectorize i3l 8",
    "unroll i2t i3t k2u",
    "stage out at i2 in register as acc",
    "parallel i1",
    "prefetch out 0 at i2"
  ] attributes {flops = #ir.expr<1184 * H * W - 2368 * H - 2368 * W + 4736>} {
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                loop.for "k2" %6 = 0 to 4 reduction {
                  %7 = loop.load %in0[%0, %1 + %4, %2 + %5, %6]
                  %8 = loop.load %in1[%4, %5, %6, %3]
                  %9 = arith.mulf %7, %8 : f32
                  %10 = loop.load %out[%0, %1, %2, %3]
                  %11 = arith.addf %10, %9 : f32
                  loop.store %11, %out[%0, %1, %2, %3]
                }
              }
            }
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to H - 2 parallel {
        loop.for "i2" %2 = 0 to W - 2 parallel {
          loop.for "i3" %3 = 0 to 16 parallel {
            %4 = loop.load %out[%0, %1, %2, %3]
            %5 = loop.load %in2[%3]
            %6 = arith.addf %4, %5 : f32
            %7 = arith.constant 0.000000e+00 : f32
            %8 = arith.maximumf %6, %7 : f32
            loop.store %8, %out[%0, %1, %2, %3]
          }
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[1, H, W, 4], f32>, %input_1 "input_1" : !loop.buffer<[3, 3, 4, 16], f32>, %input_2 "input_2" : !loop.buffer<[16], f32>, %output "output_0" : !loop.buffer<[1, H - 2, W - 2, 16], f32>) outputs 1 {
    loop.call @reduction(%input, %input_1, %input_2, %output) sizes [H, W]
  }
}
// -----
// passes: select-schedules
// Depthwise: lanes over channels, windows written out.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[1, 8, 9, 32], f32>, %in1 "in1" : !loop.buffer<[3, 3, 32], f32>, %out "out" : !loop.buffer<[1, 6, 7, 32], f32>) outputs 1 attributes {flops = #ir.expr<24192>} {
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to 6 parallel {
        loop.for "i2" %2 = 0 to 7 parallel {
          loop.for "i3" %3 = 0 to 32 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to 6 parallel {
        loop.for "i2" %2 = 0 to 7 parallel {
          loop.for "i3" %3 = 0 to 32 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                %6 = loop.load %in0[%0, %1 + %4, %2 + %5, %3]
                %7 = loop.load %in1[%4, %5, %3]
                %8 = arith.mulf %6, %7 : f32
                %9 = loop.load %out[%0, %1, %2, %3]
                %10 = arith.addf %9, %8 : f32
                loop.store %10, %out[%0, %1, %2, %3]
              }
            }
          }
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[1, 8, 9, 32], f32>, %input_1 "input_1" : !loop.buffer<[3, 3, 32], f32>, %output "output_0" : !loop.buffer<[1, 6, 7, 32], f32>) outputs 1 {
    loop.call @reduction(%input, %input_1, %output)
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[1, 8, 9, 32], f32>, %in1 "in1" : !loop.buffer<[3, 3, 32], f32>, %out "out" : !loop.buffer<[1, 6, 7, 32], f32>) outputs 1 strategy "window" schedule [
    "inline i0",
    "fuse i1",
    "fuse i2",
    "fuse i3",
    "split i3 16 -> i3 i3t",
    "split i2 4|rest -> i2 i2t",
    "sink i2t past i3",
    "split i1 2 -> i1 i1t",
    "sink i1t past i2 i3 i2t",
    "sink i3t past k0 k1",
    "sink i1t past k0 k1",
    "sink i2t past k0 k1",
    "split i3t 16|rest -> i3t i3l",
    "vectorize i3l 16",
    "unroll i2t i1t i3t k0 k1",
    "stage out at i3 in register as acc",
    "parallel i1"
  ] attributes {flops = #ir.expr<24192>} {
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to 6 parallel {
        loop.for "i2" %2 = 0 to 7 parallel {
          loop.for "i3" %3 = 0 to 32 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to 1 parallel {
      loop.for "i1" %1 = 0 to 6 parallel {
        loop.for "i2" %2 = 0 to 7 parallel {
          loop.for "i3" %3 = 0 to 32 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                %6 = loop.load %in0[%0, %1 + %4, %2 + %5, %3]
                %7 = loop.load %in1[%4, %5, %3]
                %8 = arith.mulf %6, %7 : f32
                %9 = loop.load %out[%0, %1, %2, %3]
                %10 = arith.addf %9, %8 : f32
                loop.store %10, %out[%0, %1, %2, %3]
              }
            }
          }
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[1, 8, 9, 32], f32>, %input_1 "input_1" : !loop.buffer<[3, 3, 32], f32>, %output "output_0" : !loop.buffer<[1, 6, 7, 32], f32>) outputs 1 {
    loop.call @reduction(%input, %input_1, %output)
  }
}
// -----
// passes: select-schedules
// Sums of rows and of columns.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[6, 128], f32>, %out "out" : !loop.buffer<[6], f32>) outputs 1 attributes {flops = #ir.expr<774>} {
    loop.for "i0" %0 = 0 to 6 parallel {
      %1 = arith.constant 0.000000e+00 : f32
      loop.store %1, %out[%0]
    }
    loop.for "i0" %0 = 0 to 6 parallel {
      loop.for "k0" %1 = 0 to 128 reduction {
        %2 = loop.load %in0[%0, %1]
        %3 = loop.load %out[%0]
        %4 = arith.addf %3, %2 : f32
        loop.store %4, %out[%0]
      }
    }
    loop.for "i0" %0 = 0 to 6 parallel {
      %1 = loop.load %out[%0]
      %2 = arith.constant 2.000000e+00 : f32
      %3 = arith.mulf %1, %2 : f32
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[6, 128], f32>, %output "output_0" : !loop.buffer<[6], f32>) outputs 1 {
    loop.call @reduction(%input, %output)
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[6, 128], f32>, %out "out" : !loop.buffer<[6], f32>) outputs 1 strategy "reduction" schedule [
    "fuse i0",
    "reassociate k0 64 at k0 -> k0 k0l as part",
    "split k0l 16 -> k0u k0l",
    "vectorize k0l 16",
    "split part.half 16|rest -> part.half part.lane",
    "vectorize part.lane 16",
    "unroll k0u part.half",
    "stage part at i0 in register as acc",
    "stage part.sum at i0 in register as halves",
    "stage out at i0 in register as total"
  ] attributes {flops = #ir.expr<774>} {
    loop.for "i0" %0 = 0 to 6 parallel {
      %1 = arith.constant 0.000000e+00 : f32
      loop.store %1, %out[%0]
    }
    loop.for "i0" %0 = 0 to 6 parallel {
      loop.for "k0" %1 = 0 to 128 reduction {
        %2 = loop.load %in0[%0, %1]
        %3 = loop.load %out[%0]
        %4 = arith.addf %3, %2 : f32
        loop.store %4, %out[%0]
      }
    }
    loop.for "i0" %0 = 0 to 6 parallel {
      %1 = loop.load %out[%0]
      %2 = arith.constant 2.000000e+00 : f32
      %3 = arith.mulf %1, %2 : f32
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[6, 128], f32>, %output "output_0" : !loop.buffer<[6], f32>) outputs 1 {
    loop.call @reduction(%input, %output)
  }
}
// -----
// passes: select-schedules
// Sums over an outer dim.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[2, 30, 32], f32>, %out "out" : !loop.buffer<[2, 32], f32>) outputs 1 attributes {flops = #ir.expr<1920>} {
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 32 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 32 parallel {
        loop.for "k0" %2 = 0 to 30 reduction {
          %3 = loop.load %in0[%0, %2, %1]
          %4 = loop.load %out[%0, %1]
          %5 = arith.addf %4, %3 : f32
          loop.store %5, %out[%0, %1]
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[2, 30, 32], f32>, %output "output_0" : !loop.buffer<[2, 32], f32>) outputs 1 {
    loop.call @reduction(%input, %output)
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @reduction(%in0 "in0" : !loop.buffer<[2, 30, 32], f32>, %out "out" : !loop.buffer<[2, 32], f32>) outputs 1 strategy "window" schedule [
    "fuse i0",
    "fuse i1",
    "split i1 32 -> i1 i1t",
    "sink i0 past i1",
    "sink i1t past k0",
    "split k0 4|rest -> k0 k0u",
    "split i1t 16|rest -> i1t i1l",
    "vectorize i1l 16",
    "unroll i1t k0u",
    "stage out at i0 in register as acc"
  ] attributes {flops = #ir.expr<1920>} {
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 32 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to 2 parallel {
      loop.for "i1" %1 = 0 to 32 parallel {
        loop.for "k0" %2 = 0 to 30 reduction {
          %3 = loop.load %in0[%0, %2, %1]
          %4 = loop.load %out[%0, %1]
          %5 = arith.addf %4, %3 : f32
          loop.store %5, %out[%0, %1]
        }
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[2, 30, 32], f32>, %output "output_0" : !loop.buffer<[2, 32], f32>) outputs 1 {
    loop.call @reduction(%input, %output)
  }
}
// -----
// passes: select-schedules
// A map that also reads transposed goes by blocks; an index through data stays serial.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[40, 20], f32>, %in1 "in1" : !loop.buffer<[20, 40], f32>, %out "out" : !loop.buffer<[40, 20], f32>) outputs 1 attributes {flops = #ir.expr<800>} {
    loop.for "i0" %0 = 0 to 40 parallel {
      loop.for "i1" %1 = 0 to 20 parallel {
        %2 = loop.load %in0[%0, %1]
        %3 = loop.load %in1[%1, %0]
        %4 = arith.addf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[40, 20], f32>, %input_1 "input_1" : !loop.buffer<[20, 40], f32>, %output "output_0" : !loop.buffer<[40, 20], f32>) outputs 1 {
    loop.call @map(%input, %input_1, %output)
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[40, 20], f32>, %in1 "in1" : !loop.buffer<[20, 40], f32>, %out "out" : !loop.buffer<[40, 20], f32>) outputs 1 strategy "transposition" schedule [
    "split i0 16|rest -> i0 i0t",
    "split i1 16|rest -> i1 i1t",
    "sink i0t past i1",
    "unroll i0t i1t",
    "stage in1 at i1 in register as turned0",
    "sink turned0.i0t past turned0.i1t",
    "vectorize turned0.i0t 16",
    "vectorize i1t 16"
  ] attributes {flops = #ir.expr<800>} {
    loop.for "i0" %0 = 0 to 40 parallel {
      loop.for "i1" %1 = 0 to 20 parallel {
        %2 = loop.load %in0[%0, %1]
        %3 = loop.load %in1[%1, %0]
        %4 = arith.addf %2, %3 : f32
        loop.store %4, %out[%0, %1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[40, 20], f32>, %input_1 "input_1" : !loop.buffer<[20, 40], f32>, %output "output_0" : !loop.buffer<[40, 20], f32>) outputs 1 {
    loop.call @map(%input, %input_1, %output)
  }
}
// -----
// passes: select-schedules
// An index that depends on data within the lanes.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[N], i64>, %in1 "in1" : !loop.buffer<[8], f32>, %out "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %0 = 0 to N parallel {
      %1 = loop.load %in0[%0]
      %2 = arith.index_cast %1 : i64 to index
      %3 = loop.load %in1[%2]
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[N], i64>, %input_1 "input_1" : !loop.buffer<[8], f32>, %output "output_0" : !loop.buffer<[N], f32>) outputs 1 {
    loop.call @map(%input, %input_1, %output) sizes [N]
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[N], i64>, %in1 "in1" : !loop.buffer<[8], f32>, %out "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] strategy "serial" schedule [
    "parallel i0"
  ] {
    loop.for "i0" %0 = 0 to N parallel {
      %1 = loop.load %in0[%0]
      %2 = arith.index_cast %1 : i64 to index
      %3 = loop.load %in1[%2]
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[N], i64>, %input_1 "input_1" : !loop.buffer<[8], f32>, %output "output_0" : !loop.buffer<[N], f32>) outputs 1 {
    loop.call @map(%input, %input_1, %output) sizes [N]
  }
}
// -----
// passes: tensor-to-loop,select-schedules
// Lanes of an update are a parallel dim that lies side by side in memory; what is ordered stays outside of them. Where
// there is none, threads share what is parallel.
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  func.func @main(%x : !graph.tensor<[100, 64], f32>, %y : !graph.tensor<[N, 100], f32>) -> (!graph.tensor<[100, 64], f32>, !graph.tensor<[N, 100], f32>) {
    %a = tensor.update %x as %now [%i : 64] in order [%k : 99] {nodes = ["columns"]} : !graph.tensor<[100, 64], f32> {
      %0 = tensor.read %now[%k, %i]
      %1 = tensor.read %now[%k + 1, %i]
      %2 = arith.addf %0, %1 : f32
      tensor.put %2 at [%k + 1, %i]
    }
    %b = tensor.update %y as %now [%i : N] in order [%k : 99] {nodes = ["rows"]} : !graph.tensor<[N, 100], f32> {
      %0 = tensor.read %now[%i, %k]
      %1 = tensor.read %now[%i, %k + 1]
      %2 = arith.addf %0, %1 : f32
      tensor.put %2 at [%i, %k + 1]
    }
    func.return %a, %b : !graph.tensor<[100, 64], f32>, !graph.tensor<[N, 100], f32>
  }
}
// =====
builtin.module attributes {ircc.target = {name = "x86-64-v4", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64}} {
  loop.kernel @columns(%out "out" : !loop.buffer<[100, 64], f32>) outputs 1 strategy "update" schedule [
    "sink i0 past k0",
    "split i0 32 -> i0 i0t",
    "split i0t 16|rest -> i0t i0l",
    "vectorize i0l 16",
    "unroll i0t"
  ] attributes {flops = #ir.expr<6336>, nodes = ["columns"]} {
    loop.for "i0" %i0 = 0 to 64 parallel {
      loop.for "k0" %k0 = 0 to 99 ordered {
        %0 = loop.load %out[%k0, %i0]
        %1 = loop.load %out[%k0 + 1, %i0]
        %2 = arith.addf %0, %1 : f32
        loop.store %2, %out[%k0 + 1, %i0]
      }
    }
  }
  loop.kernel @rows(%out "out" : !loop.buffer<[N, 100], f32>) outputs 1 sizes ["N"] strategy "update" schedule [
    "split k0 8|rest -> k0 k0u",
    "unroll k0u",
    "block i0 41 -> i0b i0",
    "parallel i0b"
  ] attributes {flops = #ir.expr<99 * N>, nodes = ["rows"]} {
    loop.for "i0" %i0 = 0 to N parallel {
      loop.for "k0" %k0 = 0 to 99 ordered {
        %0 = loop.load %out[%i0, %k0]
        %1 = loop.load %out[%i0, %k0 + 1]
        %2 = arith.addf %0, %1 : f32
        loop.store %2, %out[%i0, %k0 + 1]
      }
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[100, 64], f32>, %input_1 "input_1" : !loop.buffer<[N, 100], f32>, %output "output_0" : !loop.buffer<[100, 64], f32>, %output_1 "output_1" : !loop.buffer<[N, 100], f32>) outputs 2 {
    loop.copy %input, %output
    loop.call @columns(%output) {nodes = ["columns"]}
    loop.copy %input_1, %output_1
    loop.call @rows(%output_1) sizes [N] {nodes = ["rows"]}
  }
}
// -----
// passes: select-schedules
// A product of sizes that are not known, on a device: tiles that may go beyond the result.
builtin.module attributes {ircc.target = {name = "device", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64, group = 64 : i64, shared = 32768 : i64}} {
  loop.kernel @product(%in0 "in0" : !loop.buffer<[M, K], f32>, %in1 "in1" : !loop.buffer<[K, 96], f32>, %out "out" : !loop.buffer<[M, 96], f32>) outputs 1 sizes ["K", "M"] {
    loop.for "i0" %0 = 0 to M parallel {
      loop.for "i1" %1 = 0 to 96 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to M parallel {
      loop.for "i1" %1 = 0 to 96 parallel {
        loop.for "k0" %2 = 0 to K reduction {
          %3 = loop.load %in0[%0, %2]
          %4 = loop.load %in1[%2, %1]
          %5 = arith.mulf %3, %4 : f32
          %6 = loop.load %out[%0, %1]
          %7 = arith.addf %6, %5 : f32
          loop.store %7, %out[%0, %1]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[M, K], f32>, %w "w" : !loop.buffer<[K, 96], f32>, %y "y" : !loop.buffer<[M, 96], f32>) outputs 1 {
    loop.call @product(%x, %w, %y) sizes [K, M]
  }
}
// =====
builtin.module attributes {ircc.target = {name = "device", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64, group = 64 : i64, shared = 32768 : i64}} {
  loop.kernel @product(%in0 "in0" : !loop.buffer<[M, K], f32>, %in1 "in1" : !loop.buffer<[K, 96], f32>, %out "out" : !loop.buffer<[M, 96], f32>) outputs 1 sizes ["K", "M"] strategy "tiled" schedule [
    "fuse i0",
    "fuse i1",
    "cover i0 32 -> i0 i0g",
    "split i1 32 -> i1 i1g",
    "sink i0g past i1",
    "split k0 16|1 -> k0 k0g",
    "sink i1g past k0",
    "sink i0g past k0",
    "stage in0 at k0 in stack as rows",
    "stage in1 at k0 in stack as columns",
    "stage out at i1 in stack as tile",
    "sink columns.i1g past columns.k0g",
    "split i0g 4 -> i0g i0r",
    "split i1g 4 -> i1g i1r",
    "sink i0r past i1g",
    "sink i1r past k0g",
    "sink i0r past k0g",
    "unroll i0r i1r",
    "stage tile at i1g in register as part",
    "lanes i0g i1g",
    "lanes rows.i0g rows.k0g",
    "lanes columns.k0g columns.i1g",
    "lanes tile.i0g tile.i1g",
    "parallel i0"
  ] {
    loop.for "i0" %0 = 0 to M parallel {
      loop.for "i1" %1 = 0 to 96 parallel {
        %2 = arith.constant 0.000000e+00 : f32
        loop.store %2, %out[%0, %1]
      }
    }
    loop.for "i0" %0 = 0 to M parallel {
      loop.for "i1" %1 = 0 to 96 parallel {
        loop.for "k0" %2 = 0 to K reduction {
          %3 = loop.load %in0[%0, %2]
          %4 = loop.load %in1[%2, %1]
          %5 = arith.mulf %3, %4 : f32
          %6 = loop.load %out[%0, %1]
          %7 = arith.addf %6, %5 : f32
          loop.store %7, %out[%0, %1]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[M, K], f32>, %w "w" : !loop.buffer<[K, 96], f32>, %y "y" : !loop.buffer<[M, 96], f32>) outputs 1 {
    loop.call @product(%x, %w, %y) sizes [K, M]
  }
}
// -----
// passes: select-schedules
// A depthwise convolution on a device: a group's piece of the picture.
builtin.module attributes {ircc.target = {name = "device", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64, group = 64 : i64, shared = 32768 : i64}} {
  loop.kernel @depthwise(%in0 "in0" : !loop.buffer<[N, 16, 30, 48], f32>, %in1 "in1" : !loop.buffer<[48, 3, 3], f32>, %out "out" : !loop.buffer<[N, 14, 28, 48], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %0 = 0 to N parallel {
      loop.for "i1" %1 = 0 to 14 parallel {
        loop.for "i2" %2 = 0 to 28 parallel {
          loop.for "i3" %3 = 0 to 48 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to N parallel {
      loop.for "i1" %1 = 0 to 14 parallel {
        loop.for "i2" %2 = 0 to 28 parallel {
          loop.for "i3" %3 = 0 to 48 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                %6 = loop.load %in0[%0, %1 + %4, %2 + %5, %3]
                %7 = loop.load %in1[%3, %4, %5]
                %8 = arith.mulf %6, %7 : f32
                %9 = loop.load %out[%0, %1, %2, %3]
                %10 = arith.addf %9, %8 : f32
                loop.store %10, %out[%0, %1, %2, %3]
              }
            }
          }
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 16, 30, 48], f32>, %w "w" : !loop.buffer<[48, 3, 3], f32>, %y "y" : !loop.buffer<[N, 14, 28, 48], f32>) outputs 1 {
    loop.call @depthwise(%x, %w, %y) sizes [N]
  }
}
// =====
builtin.module attributes {ircc.target = {name = "device", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v4", features = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl", vector_bits = 512 : i64, vector_registers = 32 : i64, fma = true, masks = true, l1 = 32768 : i64, l2 = 1048576 : i64, l3 = 16777216 : i64, group = 64 : i64, shared = 32768 : i64}} {
  loop.kernel @depthwise(%in0 "in0" : !loop.buffer<[N, 16, 30, 48], f32>, %in1 "in1" : !loop.buffer<[48, 3, 3], f32>, %out "out" : !loop.buffer<[N, 14, 28, 48], f32>) outputs 1 sizes ["N"] strategy "halo" schedule [
    "fuse i0",
    "fuse i1",
    "fuse i2",
    "fuse i3",
    "split i1 2 -> i1 i1g",
    "split i2 4 -> i2 i2g",
    "split i3 16 -> i3 i3g",
    "sink i2g past i3",
    "sink i1g past i2 i3",
    "stage in0 at i3 in stack as window",
    "split i2g 4 -> i2g i2r",
    "sink i2r past i3g k0 k1",
    "unroll i2r",
    "unroll k0 k1",
    "stage out at i3g in register as total",
    "lanes i1g i2g i3g",
    "lanes window.d1 window.d2 window.d3",
    "parallel i0"
  ] {
    loop.for "i0" %0 = 0 to N parallel {
      loop.for "i1" %1 = 0 to 14 parallel {
        loop.for "i2" %2 = 0 to 28 parallel {
          loop.for "i3" %3 = 0 to 48 parallel {
            %4 = arith.constant 0.000000e+00 : f32
            loop.store %4, %out[%0, %1, %2, %3]
          }
        }
      }
    }
    loop.for "i0" %0 = 0 to N parallel {
      loop.for "i1" %1 = 0 to 14 parallel {
        loop.for "i2" %2 = 0 to 28 parallel {
          loop.for "i3" %3 = 0 to 48 parallel {
            loop.for "k0" %4 = 0 to 3 reduction {
              loop.for "k1" %5 = 0 to 3 reduction {
                %6 = loop.load %in0[%0, %1 + %4, %2 + %5, %3]
                %7 = loop.load %in1[%3, %4, %5]
                %8 = arith.mulf %6, %7 : f32
                %9 = loop.load %out[%0, %1, %2, %3]
                %10 = arith.addf %9, %8 : f32
                loop.store %10, %out[%0, %1, %2, %3]
              }
            }
          }
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 16, 30, 48], f32>, %w "w" : !loop.buffer<[48, 3, 3], f32>, %y "y" : !loop.buffer<[N, 14, 28, 48], f32>) outputs 1 {
    loop.call @depthwise(%x, %w, %y) sizes [N]
  }
}
