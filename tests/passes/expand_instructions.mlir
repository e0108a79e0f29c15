// passes: expand-instructions
// A row is fetched while the one before it is written out; written out as loops, it is just copied.
builtin.module {
  loop.instruction @fetch(%x "x" : !loop.buffer<[A], f32>, %t "t" : !loop.buffer<[A], f32, "tile">) outputs 1 sizes ["A"] most [16] text "fetch {t}, {x}" queue "in" {
    loop.for "a" %a = 0 to A parallel {
      %0 = arith.constant 0.000000e+00 : f32
      %1 = loop.load %x[%a] else %0
      loop.store %1, %t[%a]
    }
  }
  loop.kernel @shift(%in0 "in0" : !loop.buffer<[4, 16], f32>, %out "out" : !loop.buffer<[4, 8], f32>) outputs 1 {
    %tile = loop.alloc "tile" : !loop.buffer<[2, 8], f32, "tile">
    loop.invoke @fetch(%in0[0, -1] steps [[0, 2]], %tile[0, 0] steps [[0, 1]]) sizes [8] start
    loop.for "i0" %i0 = 0 to 4 ordered {
      loop.for "i0.next" %next = 0 to min(1, 3 - %i0) ordered {
        loop.invoke @fetch(%in0[%i0 + 1, -1] steps [[0, 2]], %tile[(%i0 + 1) mod 2, 0] steps [[0, 1]]) sizes [8] start
      }
      loop.wait "in" pending min(1, 3 - %i0)
      loop.for "i1" %i1 = 0 to 8 parallel {
        %0 = loop.load %tile[%i0 mod 2, %i1]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 16], f32>, %y "y" : !loop.buffer<[4, 8], f32>) outputs 1 {
    loop.call @shift(%x, %y)
  }
}
// =====
builtin.module {
  loop.kernel @shift(%in0 "in0" : !loop.buffer<[4, 16], f32>, %out "out" : !loop.buffer<[4, 8], f32>) outputs 1 {
    %tile = loop.alloc "tile" : !loop.buffer<[2, 8], f32, "tile">
    loop.for "a" %a = 0 to 8 parallel {
      %0 = arith.constant 0.000000e+00 : f32
      %1 = loop.load %in0[0, 2 * %a - 1] else %0
      loop.store %1, %tile[0, %a]
    }
    loop.for "i0" %i0 = 0 to 4 ordered {
      loop.for "i0.next" %next = 0 to min(-%i0 + 3, 1) ordered {
        loop.for "a" %a = 0 to 8 parallel {
          %0 = arith.constant 0.000000e+00 : f32
          %1 = loop.load %in0[%i0 + 1, 2 * %a - 1] else %0
          loop.store %1, %tile[(%i0 + 1) mod 2, %a]
        }
      }
      loop.for "i1" %i1 = 0 to 8 parallel {
        %0 = loop.load %tile[%i0 mod 2, %i1]
        loop.store %0, %out[%i0, %i1]
      }
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4, 16], f32>, %y "y" : !loop.buffer<[4, 8], f32>) outputs 1 {
    loop.call @shift(%x, %y)
  }
}
