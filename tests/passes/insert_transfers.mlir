// passes: insert-transfers
// `square` runs on the CPU: what it reads comes over first, once where the device does not write it again, and what it
// writes goes back where the device reads it, and for outputs. A loop brings over before it what stays the same in it.
// Constants are on both sides.
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "host", because = "it squares"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.kernel @add(%in0 "in0" : !loop.buffer<[4], f32>, %in1 "in1" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "opencl"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = loop.load %in1[%i0]
      %2 = arith.addf %0, %1 : f32
      loop.store %2, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %w "w" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>, %z "z" : !loop.buffer<[4], f32>) outputs 2 {
    %a = loop.alloc "a" : !loop.buffer<[4], f32>
    loop.call @square(%x, %a)
    %b = loop.alloc "b" : !loop.buffer<[4], f32>
    loop.call @square(%x, %b)
    loop.call @add(%a, %b, %y)
    loop.while "$i" to 3 {
      %c = loop.alloc "c" : !loop.buffer<[4], f32>
      loop.call @square(%w, %c)
      %d = loop.alloc "d" : !loop.buffer<[4], f32>
      loop.call @square(%y, %d)
      loop.call @add(%c, %d, %y)
    }
    %k = loop.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !loop.buffer<[4], f32>
    %e = loop.alloc "e" : !loop.buffer<[4], f32>
    loop.call @square(%k, %e)
    loop.call @add(%k, %e, %y)
    loop.call @square(%a, %z)
  }
}
// =====
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "host", because = "it squares"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.kernel @add(%in0 "in0" : !loop.buffer<[4], f32>, %in1 "in1" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "opencl"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = loop.load %in1[%i0]
      %2 = arith.addf %0, %1 : f32
      loop.store %2, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %w "w" : !loop.buffer<[4], f32>, %y "y" : !loop.buffer<[4], f32>, %z "z" : !loop.buffer<[4], f32>) outputs 2 {
    %a = loop.alloc "a" : !loop.buffer<[4], f32>
    loop.transfer %x to host
    loop.call @square(%x, %a) {host}
    %b = loop.alloc "b" : !loop.buffer<[4], f32>
    loop.call @square(%x, %b) {host}
    loop.transfer %a to device
    loop.transfer %b to device
    loop.call @add(%a, %b, %y)
    loop.transfer %w to host
    loop.while "$i" to 3 {
      %c = loop.alloc "c" : !loop.buffer<[4], f32>
      loop.call @square(%w, %c) {host}
      %d = loop.alloc "d" : !loop.buffer<[4], f32>
      loop.transfer %y to host
      loop.call @square(%y, %d) {host}
      loop.transfer %c to device
      loop.transfer %d to device
      loop.call @add(%c, %d, %y)
    }
    %k = loop.constant #ir.weight<[1.0, 2.0, 3.0, 4.0]> : !loop.buffer<[4], f32>
    %e = loop.alloc "e" : !loop.buffer<[4], f32>
    loop.call @square(%k, %e) {host}
    loop.transfer %e to device
    loop.call @add(%k, %e, %y)
    loop.call @square(%a, %z) {host}
    loop.transfer %z to device
  }
}
// -----
// passes: insert-transfers
// Both sides of a branch leave what they change on the device.
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "host", because = "it squares"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %p "p" : !loop.buffer<[], i1>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    %a = loop.alloc "a" : !loop.buffer<[4], f32>
    loop.if %p {
      loop.call @square(%x, %a)
    } else {
      loop.copy %x, %a
    }
    loop.call @square(%a, %y)
  }
}
// =====
builtin.module {
  loop.kernel @square(%in0 "in0" : !loop.buffer<[4], f32>, %out "out" : !loop.buffer<[4], f32>) outputs 1 attributes {on = "host", because = "it squares"} {
    loop.for "i0" %i0 = 0 to 4 parallel {
      %0 = loop.load %in0[%i0]
      %1 = arith.mulf %0, %0 : f32
      loop.store %1, %out[%i0]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[4], f32>, %p "p" : !loop.buffer<[], i1>, %y "y" : !loop.buffer<[4], f32>) outputs 1 {
    %a = loop.alloc "a" : !loop.buffer<[4], f32>
    loop.if %p {
      loop.transfer %x to host
      loop.call @square(%x, %a) {host}
      loop.transfer %a to device
    } else {
      loop.copy %x, %a
    }
    loop.transfer %a to host
    loop.call @square(%a, %y) {host}
    loop.transfer %y to device
  }
}
