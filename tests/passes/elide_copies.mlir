// passes: elide-copies
// The product is computed where the padding would copy it to; what is left to do is the border.
builtin.module {
  loop.kernel @double(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[4, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @pad(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[6, 9], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 6 parallel {
      loop.for "i1" %i1 = 0 to 9 parallel {
        %0 = arith.constant 0.000000e+00 : f32
        %1 = loop.load %in0[%i0 - 1, %i1 - 1] else %0
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @sums(%in0 "in0" : !loop.buffer<[6, 9], f32>, %in1 "in1" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[4, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i0 + 2, %i1 + 3]
        %1 = loop.load %in1[%i0, %i1]
        %2 = arith.addf %0, %1 : f32
        loop.store %2, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 6], f32>, %y "y" : !loop.buffer<[4, 6], f32>) outputs 1 {
    %a = loop.alloc "a" : !loop.buffer<[4, 6], f32>
    loop.call @double(%x, %a)
    %b = loop.alloc "b" : !loop.buffer<[6, 9], f32>
    loop.call @pad(%a, %b)
    loop.call @sums(%b, %a, %y)
  }
}
// =====
builtin.module {
  loop.kernel @pad_2(%out "out" : !loop.buffer<[6, 9], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 2 parallel {
      loop.for "i1" %i1 = 0 to 9 parallel {
        %0 = arith.constant 0.000000e+00 : f32
        loop.store %0, %out[5 * %i0, %i1]
      }
    }
  }
  loop.kernel @pad_3(%out "out" : !loop.buffer<[6, 9], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 1 parallel {
        %0 = arith.constant 0.000000e+00 : f32
        loop.store %0, %out[%i0 + 1, %i1]
      }
    }
  }
  loop.kernel @pad_4(%out "out" : !loop.buffer<[6, 9], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 2 parallel {
        %0 = arith.constant 0.000000e+00 : f32
        loop.store %0, %out[%i0 + 1, %i1 + 7]
      }
    }
  }
  loop.kernel @sums_2(%in0 "in0" : !loop.buffer<[6, 9], f32>, %in1 "in1" : !loop.buffer<[6, 9], f32>, %out "out" : !loop.buffer<[4, 6], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i0 + 2, %i1 + 3]
        %1 = loop.load %in1[%i0 + 1, %i1 + 1]
        %2 = arith.addf %0, %1 : f32
        loop.store %2, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @double_2(%in0 "in0" : !loop.buffer<[4, 6], f32>, %out "out" : !loop.buffer<[6, 9], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 6 parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0 + 1, %i1 + 1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 6], f32>, %y "y" : !loop.buffer<[4, 6], f32>) outputs 1 {
    %b = loop.alloc "b" : !loop.buffer<[6, 9], f32>
    loop.call @double_2(%x, %b)
    loop.call @pad_2(%b)
    loop.call @pad_3(%b)
    loop.call @pad_4(%b)
    loop.call @sums_2(%b, %b, %y)
  }
}
// -----
// passes: elide-copies
// A concatenation of what is computed and an input: the input's part is copied. The result `a` is also read with `else`
// where it ends in a dim in which nothing is joined.
builtin.module {
  loop.kernel @double(%in0 "in0" : !loop.buffer<[4, N], f32>, %out "out" : !loop.buffer<[4, N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to N parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @concat(%in0 "in0" : !loop.buffer<[4, N], f32>, %in1 "in1" : !loop.buffer<[4, N], f32>, %out "out" : !loop.buffer<[4, 2 * N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to 2 * N parallel {
        %0 = arith.constant 0.000000e+00 : f32
        %1 = loop.load %in1[%i0, %i1 - N] else %0
        %2 = loop.load %in0[%i0, %i1] else %1
        loop.store %2, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @shift(%in0 "in0" : !loop.buffer<[4, N], f32>, %in1 "in1" : !loop.buffer<[4, 2 * N], f32>, %out "out" : !loop.buffer<[4, N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to N parallel {
        %0 = arith.constant 0.000000e+00 : f32
        %1 = loop.load %in0[%i0 + 1, %i1] else %0
        %2 = loop.load %in1[%i0, 2 * %i1]
        %3 = arith.addf %1, %2 : f32
        loop.store %3, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, N], f32>, %y "y" : !loop.buffer<[4, N], f32>) outputs 1 {
    %a = loop.alloc "a" : !loop.buffer<[4, N], f32>
    loop.call @double(%x, %a) sizes [N]
    %b = loop.alloc "b" : !loop.buffer<[4, 2 * N], f32>
    loop.call @concat(%x, %a, %b) sizes [N]
    loop.call @shift(%a, %b, %y) sizes [N]
  }
}
// =====
builtin.module {
  loop.kernel @concat_2(%in0 "in0" : !loop.buffer<[4, N], f32>, %out "out" : !loop.buffer<[4, 2 * N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to N parallel {
        %0 = loop.load %in0[%i0, %i1]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @shift_2(%in0 "in0" : !loop.buffer<[4, 2 * N], f32>, %in1 "in1" : !loop.buffer<[4, 2 * N], f32>, %out "out" : !loop.buffer<[4, N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to N parallel {
        %0 = arith.constant 0.000000e+00 : f32
        %1 = loop.load %in0[%i0 + 1, %i1 + N] else %0
        %2 = loop.load %in1[%i0, 2 * %i1]
        %3 = arith.addf %1, %2 : f32
        loop.store %3, %out[%i0, %i1]
      }
    }
  }
  loop.kernel @double_2(%in0 "in0" : !loop.buffer<[4, N], f32>, %out "out" : !loop.buffer<[4, 2 * N], f32>) outputs 1 sizes ["N"] {
    loop.for "i0" %i0 = 0 to 4 parallel {
      loop.for "i1" %i1 = 0 to N parallel {
        %0 = loop.load %in0[%i0, %i1]
        %1 = arith.addf %0, %0 : f32
        loop.store %1, %out[%i0, %i1 + N]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, N], f32>, %y "y" : !loop.buffer<[4, N], f32>) outputs 1 {
    %b = loop.alloc "b" : !loop.buffer<[4, 2 * N], f32>
    loop.call @double_2(%x, %b) sizes [N]
    loop.call @concat_2(%x, %b) sizes [N]
    loop.call @shift_2(%b, %b, %y) sizes [N]
  }
}
