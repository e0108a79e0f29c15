// passes: hoist-invariants
// `a` is made of weights, and so is `b` of it, out of two loops. `c` is made of the state and stays, and so does `d`, which
// is written twice.
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.kernel @multiply(%in0 "in0" : !loop.buffer<[4], f32>, %in1 "in1" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = loop.load %in1[%i0]
      %2 = arith.mulf %0, %1 : f32
      loop.store %2, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %w "w" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    loop.copy %x, %y
    loop.while "$i" to 3 {
      %a = loop.alloc "a" : !loop.buffer<[4], f32>
      loop.call @square(%w, %a)
      loop.while "$j" to 2 {
        %b = loop.alloc "b" : !loop.buffer<[4], f32>
        loop.call @square(%a, %b)
        %c = loop.alloc "c" : !loop.buffer<[4], f32>
        loop.call @square(%y, %c)
        %d = loop.alloc "d" : !loop.buffer<[4], f32>
        loop.copy %b, %d
        loop.call @multiply(%b, %w, %d)
        loop.call @multiply(%c, %d, %y)
      }
    }
  }
}
// =====
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.kernel @multiply(%in0 "in0" : !loop.buffer<[4], f32>, %in1 "in1" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = loop.load %in1[%i0]
      %2 = arith.mulf %0, %1 : f32
      loop.store %2, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %w "w" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    loop.copy %x, %y
    %a = loop.alloc "a" : !loop.buffer<[4], f32>
    loop.call @square(%w, %a)
    %b = loop.alloc "b" : !loop.buffer<[4], f32>
    loop.call @square(%a, %b)
    loop.while "$i" to 3 {
      loop.while "$j" to 2 {
        %c = loop.alloc "c" : !loop.buffer<[4], f32>
        loop.call @square(%y, %c)
        %d = loop.alloc "d" : !loop.buffer<[4], f32>
        loop.copy %b, %d
        loop.call @multiply(%b, %w, %d)
        loop.call @multiply(%c, %d, %y)
      }
    }
  }
}
