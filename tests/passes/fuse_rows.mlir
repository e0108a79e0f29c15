// passes: tensor-to-loop,select-schedules,apply-schedules,fuse-rows
// A softmax's four kernels are one, row by row; what is between them lies on the stack. Rows are short, so each part
// does four of them before the next part begins.
builtin.module {
  func.func @main(%x : !graph.tensor<[4, 8], f32> {ircc.name = "x"}) -> (!graph.tensor<[4, 8], f32> {ircc.name = "y"}) {
    %m = tensor.compute [%i : 4, %j : 1] max [%k : 8] : !graph.tensor<[4, 1], f32> {
      %0 = tensor.read %x[%i, %k]
      tensor.yield %0 : f32
    }
    %e = tensor.compute [%i : 4, %j : 8] : !graph.tensor<[4, 8], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = tensor.read %m[%i, 0]
      %2 = arith.subf %0, %1 : f32
      %3 = math.exp %2 : f32
      tensor.yield %3 : f32
    }
    %s = tensor.compute [%i : 4, %j : 1] add [%k : 8] : !graph.tensor<[4, 1], f32> {
      %0 = tensor.read %e[%i, %k]
      tensor.yield %0 : f32
    }
    %y = tensor.compute [%i : 4, %j : 8] : !graph.tensor<[4, 8], f32> {
      %0 = tensor.read %e[%i, %j]
      %1 = tensor.read %s[%i, 0]
      %2 = arith.divf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %y : !graph.tensor<[4, 8], f32>
  }
}
// =====
builtin.module {
  loop.kernel @rows(%in0 "in0" : !loop.buffer<[4, 8], f32>, %out0 "out0" : !loop.buffer<[4, 8], f32>) outputs 1 strategy "rows" applied [
    "# reduction",
    "inline i1",
    "fuse i0",
    "reassociate k0 8 at k0 -> k0 k0l as part",
    "split k0l 4 -> k0u k0l",
    "vectorize k0l 4",
    "split part.half 4|rest -> part.half part.lane",
    "vectorize part.lane 4",
    "unroll k0u part.half",
    "stage part at i0 in register as acc",
    "stage part.sum at i0 in register as halves",
    "stage out at i0 in register as total",
    "# elementwise",
    "split i1 4 -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t",
    "# reduction",
    "inline i1",
    "fuse i0",
    "reassociate k0 8 at k0 -> k0 k0l as part",
    "split k0l 4 -> k0u k0l",
    "vectorize k0l 4",
    "split part.half 4|rest -> part.half part.lane",
    "vectorize part.lane 4",
    "unroll k0u part.half",
    "stage part at i0 in register as acc",
    "stage part.sum at i0 in register as halves",
    "stage out at i0 in register as total",
    "# elementwise",
    "split i1 4 -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t"
  ] attributes {flops = #ir.expr<160>} {
    loop.for "i0" %i0 = 0 to 4 step 4 parallel {
      %row2 = loop.alloc "row2" : !loop.buffer<[4, 1], f32, "stack">
      %row1 = loop.alloc "row1" : !loop.buffer<[4, 8], f32, "stack">
      %row0 = loop.alloc "row0" : !loop.buffer<[4, 1], f32, "stack">
      loop.for "i0.row" %i0.row = 0 to 4 parallel {
        %total = loop.alloc "total" : !loop.buffer<[1, 1], f32, "register">
        %halves = loop.alloc "halves" : !loop.buffer<[15], f32, "register">
        %acc = loop.alloc "acc" : !loop.buffer<[8], f32, "register">
        %0 = arith.constant 0xff800000 : f32
        loop.store %0, %total[0, 0]
        loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
          %1 = arith.constant 0xff800000 : f32
          %2 = vector.broadcast %1 : f32 to vector<4xf32>
          loop.store %2, %acc[%k0u]
        }
        loop.for "k0" %k0 = 0 to 8 step 8 reduction {
          loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
            %1 = loop.load %in0[%i0 + %i0.row, %k0 + %k0u] : vector<4xf32>
            %2 = loop.load %acc[%k0u] : vector<4xf32>
            %3 = arith.maximumf %2, %1 : vector<4xf32>
            loop.store %3, %acc[%k0u]
          }
        }
        loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
          %1 = loop.load %acc[%k0u] : vector<4xf32>
          loop.store %1, %halves[%k0u]
        }
        loop.for "part.half" %part.half = 0 to 4 step 4 parallel unrolled {
          %1 = loop.load %halves[%part.half] : vector<4xf32>
          %2 = loop.load %halves[%part.half + 4] : vector<4xf32>
          %3 = arith.maximumf %1, %2 : vector<4xf32>
          loop.store %3, %halves[%part.half + 8]
        }
        loop.for "part.half" %part.half = 0 to 2 step 2 parallel unrolled {
          %1 = loop.load %halves[%part.half + 8] : vector<2xf32>
          %2 = loop.load %halves[%part.half + 10] : vector<2xf32>
          %3 = arith.maximumf %1, %2 : vector<2xf32>
          loop.store %3, %halves[%part.half + 12]
        }
        loop.for "part.half" %part.half = 0 to 1 parallel unrolled {
          %1 = loop.load %halves[%part.half + 12]
          %2 = loop.load %halves[%part.half + 13]
          %3 = arith.maximumf %1, %2 : f32
          loop.store %3, %halves[%part.half + 14]
        }
        %1 = loop.load %total[0, 0]
        %2 = loop.load %halves[14]
        %3 = arith.maximumf %1, %2 : f32
        loop.store %3, %total[0, 0]
        %4 = loop.load %total[0, 0]
        loop.store %4, %row0[%i0.row, 0]
      }
      loop.for "i0.row" %i0.row = 0 to 4 parallel {
        loop.for "i1" %i1 = 0 to 8 step 4 parallel {
          loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
            %0 = loop.load %in0[%i0.row + %i0, %i1 + %i1t] : vector<4xf32>
            %1 = loop.load %row0[%i0.row, 0]
            %2 = vector.broadcast %1 : f32 to vector<4xf32>
            %3 = arith.subf %0, %2 : vector<4xf32>
            %4 = math.exp %3 : vector<4xf32>
            loop.store %4, %row1[%i0.row, %i1 + %i1t]
          }
        }
      }
      loop.for "i0.row" %i0.row = 0 to 4 parallel {
        %total = loop.alloc "total" : !loop.buffer<[1, 1], f32, "register">
        %halves = loop.alloc "halves" : !loop.buffer<[15], f32, "register">
        %acc = loop.alloc "acc" : !loop.buffer<[8], f32, "register">
        %0 = arith.constant 0.000000e+00 : f32
        loop.store %0, %total[0, 0]
        loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
          %1 = arith.constant 0.000000e+00 : f32
          %2 = vector.broadcast %1 : f32 to vector<4xf32>
          loop.store %2, %acc[%k0u]
        }
        loop.for "k0" %k0 = 0 to 8 step 8 reduction {
          loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
            %1 = loop.load %row1[%i0.row, %k0 + %k0u] : vector<4xf32>
            %2 = loop.load %acc[%k0u] : vector<4xf32>
            %3 = arith.addf %2, %1 : vector<4xf32>
            loop.store %3, %acc[%k0u]
          }
        }
        loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
          %1 = loop.load %acc[%k0u] : vector<4xf32>
          loop.store %1, %halves[%k0u]
        }
        loop.for "part.half" %part.half = 0 to 4 step 4 parallel unrolled {
          %1 = loop.load %halves[%part.half] : vector<4xf32>
          %2 = loop.load %halves[%part.half + 4] : vector<4xf32>
          %3 = arith.addf %1, %2 : vector<4xf32>
          loop.store %3, %halves[%part.half + 8]
        }
        loop.for "part.half" %part.half = 0 to 2 step 2 parallel unrolled {
          %1 = loop.load %halves[%part.half + 8] : vector<2xf32>
          %2 = loop.load %halves[%part.half + 10] : vector<2xf32>
          %3 = arith.addf %1, %2 : vector<2xf32>
          loop.store %3, %halves[%part.half + 12]
        }
        loop.for "part.half" %part.half = 0 to 1 parallel unrolled {
          %1 = loop.load %halves[%part.half + 12]
          %2 = loop.load %halves[%part.half + 13]
          %3 = arith.addf %1, %2 : f32
          loop.store %3, %halves[%part.half + 14]
        }
        %1 = loop.load %total[0, 0]
        %2 = loop.load %halves[14]
        %3 = arith.addf %1, %2 : f32
        loop.store %3, %total[0, 0]
        %4 = loop.load %total[0, 0]
        loop.store %4, %row2[%i0.row, 0]
      }
      loop.for "i0.row" %i0.row = 0 to 4 parallel {
        loop.for "i1" %i1 = 0 to 8 step 4 parallel {
          loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
            %0 = loop.load %row1[%i0.row, %i1 + %i1t] : vector<4xf32>
            %1 = loop.load %row2[%i0.row, 0]
            %2 = vector.broadcast %1 : f32 to vector<4xf32>
            %3 = arith.divf %0, %2 : vector<4xf32>
            loop.store %3, %out0[%i0.row + %i0, %i1 + %i1t]
          }
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 8], f32>, %y "y" : !loop.buffer<[4, 8], f32>) outputs 1 {
    loop.call @rows(%x, %y)
  }
}
// -----
// passes: tensor-to-loop,select-schedules,apply-schedules,fuse-rows
// What is an output, or what another kernel reads, stays in memory; rows of an unknown length do too. Columns and rows
// do not meet: the last kernel stays apart.
builtin.module {
  func.func @main(%x : !graph.tensor<[M, N], f32> {ircc.name = "x"}) -> (!graph.tensor<[M, N], f32> {ircc.name = "y"}, !graph.tensor<[N, M], f32> {ircc.name = "z"}) {
    %a = tensor.compute [%i : M, %j : N] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = arith.mulf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %s = tensor.compute [%i : M] add [%k : N] : !graph.tensor<[M], f32> {
      %0 = tensor.read %a[%i, %k]
      tensor.yield %0 : f32
    }
    %y = tensor.compute [%i : M, %j : N] : !graph.tensor<[M, N], f32> {
      %0 = tensor.read %a[%i, %j]
      %1 = tensor.read %s[%i]
      %2 = arith.subf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %z = tensor.compute [%j : N, %i : M] : !graph.tensor<[N, M], f32> {
      %0 = tensor.read %y[%i, %j]
      tensor.yield %0 : f32
    }
    func.return %y, %z : !graph.tensor<[M, N], f32>, !graph.tensor<[N, M], f32>
  }
}
// =====
builtin.module {
  loop.kernel @map_3(%in0 "in0" : !loop.buffer<[M, N], f32>, %out "out" : !loop.buffer<[N, M], f32>) outputs 1 sizes ["M", "N"] strategy "transposition" applied [
    "sink i0 past i1",
    "split i1 4|1 -> i1 i1t",
    "split i0 4|1 -> i0 i0t",
    "sink i1t past i0",
    "unroll i1t i0t",
    "stage out at i0 in register as turned0",
    "sink turned0.i1t past turned0.i0t",
    "vectorize turned0.i1t 4",
    "vectorize i0t 4",
    "parallel i1"
  ] {
    loop.for "i1" %i1 = 0 to 4 * (M floordiv 4) step 4 parallel concurrent {
      loop.for "i0" %i0 = 0 to 4 * (N floordiv 4) step 4 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[4, 4], f32, "register">
        loop.for "i1t" %i1t = 0 to 4 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0] : vector<4xf32>
          loop.store %0, %turned0[0, %i1t] lanes [1, 0]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 4 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0] : vector<4xf32>
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
      loop.for "i0" %i0 = 4 * (N floordiv 4) to N parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[1, 4], f32, "register">
        loop.for "i1t" %i1t = 0 to 4 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0]
          loop.store %0, %turned0[0, %i1t]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 1 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0] : vector<4xf32>
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
    }
    loop.for "i1" %i1 = 4 * (M floordiv 4) to M parallel concurrent {
      loop.for "i0" %i0 = 0 to 4 * (N floordiv 4) step 4 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[4, 1], f32, "register">
        loop.for "i1t" %i1t = 0 to 1 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0] : vector<4xf32>
          loop.store %0, %turned0[0, %i1t] lanes [1, 0]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 4 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0]
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
      loop.for "i0" %i0 = 4 * (N floordiv 4) to N parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[1, 1], f32, "register">
        loop.for "i1t" %i1t = 0 to 1 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0]
          loop.store %0, %turned0[0, %i1t]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 1 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0]
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
    }
  }
  loop.kernel @rows(%in0 "in0" : !loop.buffer<[M, N], f32>, %out0 "out0" : !loop.buffer<[M, N], f32>, %out1 "out1" : !loop.buffer<[M, N], f32>) outputs 2 sizes ["M", "N"] strategy "rows" applied [
    "# elementwise",
    "split i1 8|4|1 -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t",
    "parallel i0",
    "# reduction",
    "fuse i0",
    "reassociate k0 8|1 at k0 -> k0 k0l as part",
    "split k0l 4 -> k0u k0l",
    "vectorize k0l 4",
    "split part.half 4|rest -> part.half part.lane",
    "vectorize part.lane 4",
    "unroll k0u part.half",
    "stage part at i0 in register as acc",
    "stage part.sum at i0 in register as halves",
    "stage out at i0 in register as total",
    "parallel i0",
    "# elementwise",
    "split i1 8|4|1 -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t",
    "parallel i0"
  ] attributes {flops = #ir.expr<3 * M * N>} {
    loop.for "i0" %i0 = 0 to M parallel concurrent {
      %row0 = loop.alloc "row0" : !loop.buffer<[1], f32, "stack">
      loop.for "i1" %i1 = 0 to 8 * (N floordiv 8) step 8 parallel {
        loop.for "i1t" %i1t = 0 to 8 step 4 parallel unrolled {
          %0 = loop.load %in0[%i0, %i1 + %i1t] : vector<4xf32>
          %1 = arith.mulf %0, %0 : vector<4xf32>
          loop.store %1, %out0[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 8 * (N floordiv 8) to 4 * (N floordiv 4) step 4 parallel {
        loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
          %0 = loop.load %in0[%i0, %i1 + %i1t] : vector<4xf32>
          %1 = arith.mulf %0, %0 : vector<4xf32>
          loop.store %1, %out0[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 4 * (N floordiv 4) to N parallel {
        loop.for "i1t" %i1t = 0 to 1 parallel unrolled {
          %0 = loop.load %in0[%i0, %i1 + %i1t]
          %1 = arith.mulf %0, %0 : f32
          loop.store %1, %out0[%i0, %i1 + %i1t]
        }
      }
      %total = loop.alloc "total" : !loop.buffer<[1], f32, "register">
      %halves = loop.alloc "halves" : !loop.buffer<[15], f32, "register">
      %acc = loop.alloc "acc" : !loop.buffer<[8], f32, "register">
      %0 = arith.constant 0.000000e+00 : f32
      loop.store %0, %total[0]
      loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
        %1 = arith.constant 0.000000e+00 : f32
        %2 = vector.broadcast %1 : f32 to vector<4xf32>
        loop.store %2, %acc[%k0u]
      }
      loop.for "k0.rest" %k0 = 8 * (N floordiv 8) to N reduction {
        %1 = loop.load %out0[%i0, %k0]
        %2 = loop.load %total[0]
        %3 = arith.addf %2, %1 : f32
        loop.store %3, %total[0]
      }
      loop.for "k0" %k0 = 0 to 8 * (N floordiv 8) step 8 reduction {
        loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
          %1 = loop.load %out0[%i0, %k0 + %k0u] : vector<4xf32>
          %2 = loop.load %acc[%k0u] : vector<4xf32>
          %3 = arith.addf %2, %1 : vector<4xf32>
          loop.store %3, %acc[%k0u]
        }
      }
      loop.for "k0u" %k0u = 0 to 8 step 4 parallel unrolled {
        %1 = loop.load %acc[%k0u] : vector<4xf32>
        loop.store %1, %halves[%k0u]
      }
      loop.for "part.half" %part.half = 0 to 4 step 4 parallel unrolled {
        %1 = loop.load %halves[%part.half] : vector<4xf32>
        %2 = loop.load %halves[%part.half + 4] : vector<4xf32>
        %3 = arith.addf %1, %2 : vector<4xf32>
        loop.store %3, %halves[%part.half + 8]
      }
      loop.for "part.half" %part.half = 0 to 2 step 2 parallel unrolled {
        %1 = loop.load %halves[%part.half + 8] : vector<2xf32>
        %2 = loop.load %halves[%part.half + 10] : vector<2xf32>
        %3 = arith.addf %1, %2 : vector<2xf32>
        loop.store %3, %halves[%part.half + 12]
      }
      loop.for "part.half" %part.half = 0 to 1 parallel unrolled {
        %1 = loop.load %halves[%part.half + 12]
        %2 = loop.load %halves[%part.half + 13]
        %3 = arith.addf %1, %2 : f32
        loop.store %3, %halves[%part.half + 14]
      }
      %1 = loop.load %total[0]
      %2 = loop.load %halves[14]
      %3 = arith.addf %1, %2 : f32
      loop.store %3, %total[0]
      %4 = loop.load %total[0]
      loop.store %4, %row0[0]
      loop.for "i1" %i1 = 0 to 8 * (N floordiv 8) step 8 parallel {
        loop.for "i1t" %i1t = 0 to 8 step 4 parallel unrolled {
          %5 = loop.load %out0[%i0, %i1 + %i1t] : vector<4xf32>
          %6 = loop.load %row0[0]
          %7 = vector.broadcast %6 : f32 to vector<4xf32>
          %8 = arith.subf %5, %7 : vector<4xf32>
          loop.store %8, %out1[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 8 * (N floordiv 8) to 4 * (N floordiv 4) step 4 parallel {
        loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
          %5 = loop.load %out0[%i0, %i1 + %i1t] : vector<4xf32>
          %6 = loop.load %row0[0]
          %7 = vector.broadcast %6 : f32 to vector<4xf32>
          %8 = arith.subf %5, %7 : vector<4xf32>
          loop.store %8, %out1[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 4 * (N floordiv 4) to N parallel {
        loop.for "i1t" %i1t = 0 to 1 parallel unrolled {
          %5 = loop.load %out0[%i0, %i1 + %i1t]
          %6 = loop.load %row0[0]
          %7 = arith.subf %5, %6 : f32
          loop.store %7, %out1[%i0, %i1 + %i1t]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[M, N], f32>, %y "y" : !loop.buffer<[M, N], f32>, %z "z" : !loop.buffer<[N, M], f32>) outputs 2 {
    %t1 = loop.alloc "t1" : !loop.buffer<[M, N], f32>
    loop.call @rows(%x, %t1, %y) sizes [M, N]
    loop.call @map_3(%y, %z) sizes [M, N]
  }
}
// -----
// passes: tensor-to-loop,select-schedules,apply-schedules,fuse-rows{most=64}
// Iterations that read what others write cannot meet: of two loops the outer ones do where rows are turned around,
// none where columns become rows. What is more than fits in the cache keeps kernels apart.
builtin.module {
  func.func @main(%x : !graph.tensor<[4, 6], f32> {ircc.name = "x"}, %w : !graph.tensor<[2, 6, 6], f32> {ircc.name = "w"}) -> (!graph.tensor<[6, 4], f32> {ircc.name = "y"}, !graph.tensor<[2, 6, 6], f32> {ircc.name = "v"}) {
    %a = tensor.compute [%i : 4, %j : 6] : !graph.tensor<[4, 6], f32> {
      %0 = tensor.read %x[%i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    %b = tensor.compute [%i : 4, %j : 6] : !graph.tensor<[4, 6], f32> {
      %0 = tensor.read %a[%i, 5 - %j]
      %1 = arith.mulf %0, %0 : f32
      tensor.yield %1 : f32
    }
    %y = tensor.compute [%i : 6, %j : 4] : !graph.tensor<[6, 4], f32> {
      %0 = tensor.read %b[%j, %i]
      tensor.yield %0 : f32
    }
    %u = tensor.compute [%h : 2, %i : 6, %j : 6] : !graph.tensor<[2, 6, 6], f32> {
      %0 = tensor.read %w[%h, %i, %j]
      %1 = arith.negf %0 : f32
      tensor.yield %1 : f32
    }
    %v = tensor.compute [%h : 2, %i : 6, %j : 6] : !graph.tensor<[2, 6, 6], f32> {
      %0 = tensor.read %u[%h, 5 - %i, %j]
      tensor.yield %0 : f32
    }
    func.return %y, %v : !graph.tensor<[6, 4], f32>, !graph.tensor<[2, 6, 6], f32>
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[4, 6], f32>) outputs 1 strategy "elementwise" applied [
    "split i1 4|rest -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t"
  ] attributes {flops = #ir.expr<24>} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 4 step 4 parallel {
        loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
          %0 = loop.load %in0[%i0, %i1 + %i1t] : vector<4xf32>
          %1 = arith.negf %0 : vector<4xf32>
          loop.store %1, %out[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 4 to 6 step 2 parallel {
        loop.for "i1t" %i1t = 0 to 2 step 2 parallel unrolled {
          %0 = loop.load %in0[%i0, %i1 + %i1t] : vector<2xf32>
          %1 = arith.negf %0 : vector<2xf32>
          loop.store %1, %out[%i0, %i1 + %i1t]
        }
      }
    }
  }
  loop.kernel @map_2(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[4, 6], f32>) outputs 1 strategy "elementwise" applied [
    "split i1 4|rest -> i1 i1t",
    "split i1t 4|rest -> i1t i1l",
    "vectorize i1l 4",
    "unroll i1t"
  ] attributes {flops = #ir.expr<24>} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 4 step 4 parallel {
        loop.for "i1t" %i1t = 0 to 4 step 4 parallel unrolled {
          %0 = loop.load %in0[%i0, -%i1 - %i1t + 5] lanes [0, -1] : vector<4xf32>
          %1 = arith.mulf %0, %0 : vector<4xf32>
          loop.store %1, %out[%i0, %i1 + %i1t]
        }
      }
      loop.for "i1" %i1 = 4 to 6 step 2 parallel {
        loop.for "i1t" %i1t = 0 to 2 step 2 parallel unrolled {
          %0 = loop.load %in0[%i0, -%i1 - %i1t + 5] lanes [0, -1] : vector<2xf32>
          %1 = arith.mulf %0, %0 : vector<2xf32>
          loop.store %1, %out[%i0, %i1 + %i1t]
        }
      }
    }
  }
  loop.kernel @map_3(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[6, 4], f32>) outputs 1 strategy "transposition" applied [
    "sink i0 past i1",
    "split i1 4 -> i1 i1t",
    "split i0 4|rest -> i0 i0t",
    "sink i1t past i0",
    "unroll i1t i0t",
    "stage out at i0 in register as turned0",
    "sink turned0.i1t past turned0.i0t",
    "vectorize turned0.i1t 4",
    "vectorize i0t 4"
  ] {
    loop.for "i1" %i1 = 0 to 4 step 4 parallel {
      loop.for "i0" %i0 = 0 to 4 step 4 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[4, 4], f32, "register">
        loop.for "i1t" %i1t = 0 to 4 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0] : vector<4xf32>
          loop.store %0, %turned0[0, %i1t] lanes [1, 0]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 4 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0] : vector<4xf32>
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
      loop.for "i0" %i0 = 4 to 6 step 2 parallel {
        %turned0 = loop.alloc "turned0" : !loop.buffer<[2, 4], f32, "register">
        loop.for "i1t" %i1t = 0 to 4 parallel unrolled {
          %0 = loop.load %in0[%i1 + %i1t, %i0] : vector<2xf32>
          loop.store %0, %turned0[0, %i1t] lanes [1, 0]
        }
        loop.for "turned0.i0t" %turned0.i0t = 0 to 2 parallel unrolled {
          %0 = loop.load %turned0[%turned0.i0t, 0] : vector<4xf32>
          loop.store %0, %out[%i0 + %turned0.i0t, %i1]
        }
      }
    }
  }
  loop.kernel @map_4(%in0 "in0" : !loop.buffer<[2, 6, 6], f32>, %out "out" : !loop.buffer<[2, 6, 6], f32>) outputs 1 strategy "elementwise" applied [
    "split i2 4|rest -> i2 i2t",
    "split i2t 4|rest -> i2t i2l",
    "vectorize i2l 4",
    "unroll i2t"
  ] attributes {flops = #ir.expr<72>} {
    loop.for "i0" %i0 = 0 to 2 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        loop.for "i2" %i2 = 0 to 4 step 4 parallel {
          loop.for "i2t" %i2t = 0 to 4 step 4 parallel unrolled {
            %0 = loop.load %in0[%i0, %i1, %i2 + %i2t] : vector<4xf32>
            %1 = arith.negf %0 : vector<4xf32>
            loop.store %1, %out[%i0, %i1, %i2 + %i2t]
          }
        }
        loop.for "i2" %i2 = 4 to 6 step 2 parallel {
          loop.for "i2t" %i2t = 0 to 2 step 2 parallel unrolled {
            %0 = loop.load %in0[%i0, %i1, %i2 + %i2t] : vector<2xf32>
            %1 = arith.negf %0 : vector<2xf32>
            loop.store %1, %out[%i0, %i1, %i2 + %i2t]
          }
        }
      }
    }
  }
  loop.kernel @map_5(%in0 "in0" : !loop.buffer<[2, 6, 6], f32>, %out "out" : !loop.buffer<[2, 6, 6], f32>) outputs 1 strategy "elementwise" applied [
    "split i2 4|rest -> i2 i2t",
    "split i2t 4|rest -> i2t i2l",
    "vectorize i2l 4",
    "unroll i2t"
  ] {
    loop.for "i0" %i0 = 0 to 2 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        loop.for "i2" %i2 = 0 to 4 step 4 parallel {
          loop.for "i2t" %i2t = 0 to 4 step 4 parallel unrolled {
            %0 = loop.load %in0[%i0, -%i1 + 5, %i2 + %i2t] : vector<4xf32>
            loop.store %0, %out[%i0, %i1, %i2 + %i2t]
          }
        }
        loop.for "i2" %i2 = 4 to 6 step 2 parallel {
          loop.for "i2t" %i2t = 0 to 2 step 2 parallel unrolled {
            %0 = loop.load %in0[%i0, -%i1 + 5, %i2 + %i2t] : vector<2xf32>
            loop.store %0, %out[%i0, %i1, %i2 + %i2t]
          }
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 6], f32>, %w "w" : !loop.buffer<[2, 6, 6], f32>, %y "y" : !loop.buffer<[6, 4], f32>, %v "v" : !loop.buffer<[2, 6, 6], f32>) outputs 2 {
    %t1 = loop.alloc "t1" : !loop.buffer<[4, 6], f32>
    loop.call @map(%x, %t1)
    %t2 = loop.alloc "t2" : !loop.buffer<[4, 6], f32>
    loop.call @map_2(%t1, %t2)
    loop.call @map_3(%t2, %y)
    %t3 = loop.alloc "t3" : !loop.buffer<[2, 6, 6], f32>
    loop.call @map_4(%w, %t3)
    loop.call @map_5(%t3, %v)
  }
}
// -----
// passes: fuse-rows
// Images of a batch of unknown size, whose rows the second kernel reads three at a time: threads share the rows of each
// of the two, and joined they could share the images only, of which there may be but one.
builtin.module {
  loop.kernel @twice(%in "in" : !loop.buffer<[N, 98, 100], f32>, %out "out" : !loop.buffer<[N, 98, 100], f32>) outputs 1 sizes ["N"] strategy "a" applied ["parallel i"] {
    loop.for "i" %i = 0 to N parallel concurrent {
      loop.for "j" %j = 0 to 98 parallel {
        loop.for "k" %k = 0 to 100 parallel {
          %0 = loop.load %in[%i, %j, %k]
          %1 = arith.addf %0, %0 : f32
          loop.store %1, %out[%i, %j, %k]
        }
      }
    }
  }
  loop.kernel @ends(%in "in" : !loop.buffer<[N, 98, 100], f32>, %out "out" : !loop.buffer<[N, 96, 100], f32>) outputs 1 sizes ["N"] strategy "b" applied ["parallel i"] {
    loop.for "i" %i = 0 to N parallel concurrent {
      loop.for "j" %j = 0 to 96 parallel {
        loop.for "k" %k = 0 to 100 parallel {
          %0 = loop.load %in[%i, %j, %k]
          %1 = loop.load %in[%i, %j + 2, %k]
          %2 = arith.addf %0, %1 : f32
          loop.store %2, %out[%i, %j, %k]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 98, 100], f32>, %y "y" : !loop.buffer<[N, 96, 100], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[N, 98, 100], f32>
    loop.call @twice(%x, %t) sizes [N]
    loop.call @ends(%t, %y) sizes [N]
  }
}
// =====
builtin.module {
  loop.kernel @twice(%in "in" : !loop.buffer<[N, 98, 100], f32>, %out "out" : !loop.buffer<[N, 98, 100], f32>) outputs 1 sizes ["N"] strategy "a" applied [
    "parallel i"
  ] {
    loop.for "i" %i = 0 to N parallel concurrent {
      loop.for "j" %j = 0 to 98 parallel {
        loop.for "k" %k = 0 to 100 parallel {
          %0 = loop.load %in[%i, %j, %k]
          %1 = arith.addf %0, %0 : f32
          loop.store %1, %out[%i, %j, %k]
        }
      }
    }
  }
  loop.kernel @ends(%in "in" : !loop.buffer<[N, 98, 100], f32>, %out "out" : !loop.buffer<[N, 96, 100], f32>) outputs 1 sizes ["N"] strategy "b" applied [
    "parallel i"
  ] {
    loop.for "i" %i = 0 to N parallel concurrent {
      loop.for "j" %j = 0 to 96 parallel {
        loop.for "k" %k = 0 to 100 parallel {
          %0 = loop.load %in[%i, %j, %k]
          %1 = loop.load %in[%i, %j + 2, %k]
          %2 = arith.addf %0, %1 : f32
          loop.store %2, %out[%i, %j, %k]
        }
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N, 98, 100], f32>, %y "y" : !loop.buffer<[N, 96, 100], f32>) outputs 1 {
    %t = loop.alloc "t" : !loop.buffer<[N, 98, 100], f32>
    loop.call @twice(%x, %t) sizes [N]
    loop.call @ends(%t, %y) sizes [N]
  }
}
