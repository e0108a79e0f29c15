// passes: expand-math
// The exponential becomes a power of two and a polynomial.
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[N], f32>, %out "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<N>} {
    loop.for "i0" %0 = 0 to N parallel {
      %1 = loop.load %in0[%0]
      %2 = math.exp %1 : f32
      loop.store %2, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[N], f32>, %output "output_0" : !loop.buffer<[N], f32>) outputs 1 {
    loop.call @map(%input, %output) sizes [N]
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[N], f32>, %out "out" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] attributes {flops = #ir.expr<N>} {
    loop.for "i0" %0 = 0 to N parallel {
      %1 = loop.load %in0[%0]
      %2 = arith.constant -1.040000e+02 : f32
      %3 = arith.cmpf ogt, %2, %1 : f32
      %4 = arith.select %3, %2, %1 : f32
      %5 = arith.constant 8.900000e+01 : f32
      %6 = arith.cmpf olt, %5, %4 : f32
      %7 = arith.select %6, %5, %4 : f32
      %8 = arith.constant 1.44269502 : f32
      %9 = arith.mulf %7, %8 : f32
      %10 = arith.constant 0x4B400000 : f32
      %11 = arith.addf %9, %10 : f32
      %12 = arith.constant 0x4B400000 : f32
      %13 = arith.subf %11, %12 : f32
      %14 = arith.bitcast %11 : f32 to i32
      %15 = arith.constant 1262485504 : i32
      %16 = arith.subi %14, %15 : i32
      %17 = arith.constant 0.693359375 : f32
      %18 = arith.mulf %13, %17 : f32
      %19 = arith.subf %7, %18 : f32
      %20 = arith.constant -0.000212194442 : f32
      %21 = arith.mulf %13, %20 : f32
      %22 = arith.subf %19, %21 : f32
      %23 = arith.constant 1 : i32
      %24 = arith.shrsi %16, %23 : i32
      %25 = arith.constant 0.000198756912 : f32
      %26 = arith.mulf %25, %22 : f32
      %27 = arith.constant 0.00139819994 : f32
      %28 = arith.addf %26, %27 : f32
      %29 = arith.mulf %28, %22 : f32
      %30 = arith.constant 0.00833345205 : f32
      %31 = arith.addf %29, %30 : f32
      %32 = arith.mulf %31, %22 : f32
      %33 = arith.constant 0.0416657962 : f32
      %34 = arith.addf %32, %33 : f32
      %35 = arith.mulf %34, %22 : f32
      %36 = arith.constant 0.166666657 : f32
      %37 = arith.addf %35, %36 : f32
      %38 = arith.mulf %37, %22 : f32
      %39 = arith.constant 5.000000e-01 : f32
      %40 = arith.addf %38, %39 : f32
      %41 = arith.mulf %22, %22 : f32
      %42 = arith.mulf %40, %41 : f32
      %43 = arith.addf %42, %22 : f32
      %44 = arith.constant 1.000000e+00 : f32
      %45 = arith.addf %43, %44 : f32
      %46 = arith.constant 127 : i32
      %47 = arith.addi %24, %46 : i32
      %48 = arith.constant 23 : i32
      %49 = arith.shli %47, %48 : i32
      %50 = arith.bitcast %49 : i32 to f32
      %51 = arith.mulf %45, %50 : f32
      %52 = arith.subi %16, %24 : i32
      %53 = arith.constant 127 : i32
      %54 = arith.addi %52, %53 : i32
      %55 = arith.constant 23 : i32
      %56 = arith.shli %54, %55 : i32
      %57 = arith.bitcast %56 : i32 to f32
      %58 = arith.mulf %51, %57 : f32
      loop.store %58, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[N], f32>, %output "output_0" : !loop.buffer<[N], f32>) outputs 1 {
    loop.call @map(%input, %output) sizes [N]
  }
}
// -----
// passes: expand-math
// A function of f16 is computed in f32; the square root and the arc sine stay as they are.
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4], f16>, %out "out" : !loop.buffer<[4], f16>) outputs 1 attributes {flops = #ir.expr<8>} {
    loop.for "i0" %0 = 0 to 4 parallel {
      %1 = loop.load %in0[%0]
      %2 = math.sqrt %1 : f16
      %3 = math.asin %2 : f16
      loop.store %3, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4], f16>, %output "output_0" : !loop.buffer<[4], f16>) outputs 1 {
    loop.call @map(%input, %output)
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4], f16>, %out "out" : !loop.buffer<[4], f16>) outputs 1 attributes {flops = #ir.expr<8>} {
    loop.for "i0" %0 = 0 to 4 parallel {
      %1 = loop.load %in0[%0]
      %2 = math.sqrt %1 : f16
      %3 = arith.extf %2 : f16 to f32
      %4 = math.asin %3 : f32
      %5 = arith.truncf %4 : f32 to f16
      loop.store %5, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4], f16>, %output "output_0" : !loop.buffer<[4], f16>) outputs 1 {
    loop.call @map(%input, %output)
  }
}
// -----
// passes: expand-math
// Functions of f64 stay.
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4], f64>, %out "out" : !loop.buffer<[4], f64>) outputs 1 attributes {flops = #ir.expr<4>} {
    loop.for "i0" %0 = 0 to 4 parallel {
      %1 = loop.load %in0[%0]
      %2 = math.tanh %1 : f64
      loop.store %2, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4], f64>, %output "output_0" : !loop.buffer<[4], f64>) outputs 1 {
    loop.call @map(%input, %output)
  }
}
// =====
builtin.module {
  loop.kernel @map(%in0 "in0" : !loop.buffer<[4], f64>, %out "out" : !loop.buffer<[4], f64>) outputs 1 attributes {flops = #ir.expr<4>} {
    loop.for "i0" %0 = 0 to 4 parallel {
      %1 = loop.load %in0[%0]
      %2 = math.tanh %1 : f64
      loop.store %2, %out[%0]
    }
  }
  loop.program @main(%input "input_0" : !loop.buffer<[4], f64>, %output "output_0" : !loop.buffer<[4], f64>) outputs 1 {
    loop.call @map(%input, %output)
  }
}
