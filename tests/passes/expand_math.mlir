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
      %2 = arith.constant -1.760000e+02 : f32
      %3 = arith.cmpf ogt, %2, %1 : f32
      %4 = arith.select %3, %2, %1 : f32
      %5 = arith.constant 8.900000e+01 : f32
      %6 = arith.cmpf olt, %5, %4 : f32
      %7 = arith.select %6, %5, %4 : f32
      %8 = arith.constant 0.721347511 : f32
      %9 = arith.mulf %7, %8 : f32
      %10 = arith.constant 0x4B400000 : f32
      %11 = arith.addf %9, %10 : f32
      %12 = arith.constant 0x4B400000 : f32
      %13 = arith.subf %11, %12 : f32
      %14 = arith.bitcast %11 : f32 to i32
      %15 = arith.constant 1.38671875 : f32
      %16 = arith.mulf %13, %15 : f32
      %17 = arith.subf %7, %16 : f32
      %18 = arith.constant -0.000424388883 : f32
      %19 = arith.mulf %13, %18 : f32
      %20 = arith.subf %17, %19 : f32
      %21 = arith.constant 23 : i32
      %22 = arith.shli %14, %21 : i32
      %23 = arith.constant 1065353216 : i32
      %24 = arith.addi %22, %23 : i32
      %25 = arith.bitcast %24 : i32 to f32
      %26 = arith.constant 2.44400781e-05 : f32
      %27 = arith.mulf %26, %20 : f32
      %28 = arith.constant 0.000201098519 : f32
      %29 = arith.addf %27, %28 : f32
      %30 = arith.mulf %29, %20 : f32
      %31 = arith.constant 0.00138937042 : f32
      %32 = arith.addf %30, %31 : f32
      %33 = arith.mulf %32, %20 : f32
      %34 = arith.constant 0.00833252724 : f32
      %35 = arith.addf %33, %34 : f32
      %36 = arith.mulf %35, %20 : f32
      %37 = arith.constant 0.0416665263 : f32
      %38 = arith.addf %36, %37 : f32
      %39 = arith.mulf %38, %20 : f32
      %40 = arith.constant 0.166666731 : f32
      %41 = arith.addf %39, %40 : f32
      %42 = arith.mulf %41, %20 : f32
      %43 = arith.constant 5.000000e-01 : f32
      %44 = arith.addf %42, %43 : f32
      %45 = arith.mulf %20, %20 : f32
      %46 = arith.mulf %44, %45 : f32
      %47 = arith.addf %46, %20 : f32
      %48 = arith.constant 1.000000e+00 : f32
      %49 = arith.addf %47, %48 : f32
      %50 = arith.mulf %49, %25 : f32
      %51 = arith.mulf %50, %25 : f32
      loop.store %51, %out[%0]
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
