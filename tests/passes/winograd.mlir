// passes: winograd{tile=2}
// Tiles of 2 * 2 results: the transform of 4 * 4 elements of x, a product of matrices for each of the 16, the transform
// back with what follows the sum. Padding is read as it was.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4, 4, 2], f32>) -> !graph.tensor<[N, 4, 4, 3], f32> {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 2.0, 2.0, 1.0, 1.5, 3.0, 0.25, 1.0, 2.0, 1.0, 1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 2.0, 2.0, 1.0, 1.5, 3.0, 0.25, 1.0, 2.0, 1.0, 1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 2.0, 2.0, 1.0, 1.5, 3.0, 0.25, 1.0, 2.0, 1.0]> : !graph.tensor<[3, 3, 2, 3], f32>
    %b = tensor.constant #ir.weight<[0.5, 1.0, -1.0]> : !graph.tensor<[3], f32>
    %y = tensor.compute [%n : N, %h : 4, %w0 : 4, %o : 3] add [%i : 3, %j : 3, %c : 2] {nodes = ["conv"]} : !graph.tensor<[N, 4, 4, 3], f32> {
      %0 = arith.constant 0.0 : f32
      %1 = tensor.read %x[%n, %h + %i - 1, %w0 + %j - 1, %c] else %0
      %2 = tensor.read %w[%i, %j, %c, %o]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    } finish {
    ^bb0(%n: index, %h: index, %w0: index, %o: index, %acc: f32):
      %0 = tensor.read %b[%o]
      %1 = arith.addf %acc, %0 : f32
      tensor.yield %1 : f32
    }
    func.return %y : !graph.tensor<[N, 4, 4, 3], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4, 4, 2], f32>) -> !graph.tensor<[N, 4, 4, 3], f32> {
    %b = tensor.constant #ir.weight<[0.5, 1.0, -1.0]> : !graph.tensor<[3], f32>
    %0 = tensor.empty {nodes = ["conv"]} : !graph.tensor<[16, 4 * N, 2], f32>
    %1 = tensor.update %0 as %now [%i0 : 4 * N, %i1 : 2] in order [%k0 : 1] {nodes = ["conv"], nominal = #ir.expr<0>} : !graph.tensor<[16, 4 * N, 2], f32> {
      %2 = arith.constant 0.000000e+00 : f32
      %3 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) - 1, 2 * (%i0 mod 2) - 1, %i1] else %2
      %4 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) - 1, 2 * (%i0 mod 2), %i1] else %2
      %5 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) - 1, 2 * (%i0 mod 2) + 1, %i1] else %2
      %6 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) - 1, 2 * (%i0 mod 2) + 2, %i1] else %2
      %7 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2), 2 * (%i0 mod 2) - 1, %i1] else %2
      %8 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2), 2 * (%i0 mod 2), %i1] else %2
      %9 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2), 2 * (%i0 mod 2) + 1, %i1] else %2
      %10 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2), 2 * (%i0 mod 2) + 2, %i1] else %2
      %11 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 1, 2 * (%i0 mod 2) - 1, %i1] else %2
      %12 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 1, 2 * (%i0 mod 2), %i1] else %2
      %13 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 1, 2 * (%i0 mod 2) + 1, %i1] else %2
      %14 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 1, 2 * (%i0 mod 2) + 2, %i1] else %2
      %15 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 2, 2 * (%i0 mod 2) - 1, %i1] else %2
      %16 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 2, 2 * (%i0 mod 2), %i1] else %2
      %17 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 2, 2 * (%i0 mod 2) + 1, %i1] else %2
      %18 = tensor.read %x[%i0 floordiv 4, 2 * ((%i0 floordiv 2) mod 2) + 2, 2 * (%i0 mod 2) + 2, %i1] else %2
      %19 = arith.subf %11, %3 : f32
      %20 = arith.addf %11, %7 : f32
      %21 = arith.subf %11, %7 : f32
      %22 = arith.subf %15, %7 : f32
      %23 = arith.subf %12, %4 : f32
      %24 = arith.addf %12, %8 : f32
      %25 = arith.subf %12, %8 : f32
      %26 = arith.subf %16, %8 : f32
      %27 = arith.subf %13, %5 : f32
      %28 = arith.addf %13, %9 : f32
      %29 = arith.subf %13, %9 : f32
      %30 = arith.subf %17, %9 : f32
      %31 = arith.subf %14, %6 : f32
      %32 = arith.addf %14, %10 : f32
      %33 = arith.subf %14, %10 : f32
      %34 = arith.subf %18, %10 : f32
      %35 = arith.subf %27, %19 : f32
      %36 = arith.addf %27, %23 : f32
      %37 = arith.subf %27, %23 : f32
      %38 = arith.subf %31, %23 : f32
      %39 = arith.subf %28, %20 : f32
      %40 = arith.addf %28, %24 : f32
      %41 = arith.subf %28, %24 : f32
      %42 = arith.subf %32, %24 : f32
      %43 = arith.subf %29, %21 : f32
      %44 = arith.addf %29, %25 : f32
      %45 = arith.subf %29, %25 : f32
      %46 = arith.subf %33, %25 : f32
      %47 = arith.subf %30, %22 : f32
      %48 = arith.addf %30, %26 : f32
      %49 = arith.subf %30, %26 : f32
      %50 = arith.subf %34, %26 : f32
      tensor.put %35 at [0, %i0, %i1], %36 at [1, %i0, %i1], %37 at [2, %i0, %i1], %38 at [3, %i0, %i1], %39 at [4, %i0, %i1], %40 at [5, %i0, %i1], %41 at [6, %i0, %i1], %42 at [7, %i0, %i1], %43 at [8, %i0, %i1], %44 at [9, %i0, %i1], %45 at [10, %i0, %i1], %46 at [11, %i0, %i1], %47 at [12, %i0, %i1], %48 at [13, %i0, %i1], %49 at [14, %i0, %i1], %50 at [15, %i0, %i1]
    }
    %2 = tensor.constant #ir.weight<"", "", "e4b243d44ca97cd5244e67839fcfff7f13cb36a83fb5262fee642440c1f35beb"> {nodes = ["conv"]} : !graph.tensor<[16, 2, 3], f32>
    %3 = tensor.compute [%i0 : 16, %i1 : 4 * N, %i2 : 3] add [%k0 : 2] {nodes = ["conv"], nominal = #ir.expr<1776 * N>} : !graph.tensor<[16, 4 * N, 3], f32> {
      %4 = tensor.read %1[%i0, %i1, %k0]
      %5 = tensor.read %2[%i0, %k0, %i2]
      %6 = arith.mulf %4, %5 : f32
      tensor.yield %6 : f32
    }
    %4 = tensor.empty {nodes = ["conv"]} : !graph.tensor<[N, 4, 4, 3], f32>
    %y = tensor.update %4 as %now [%i0 : N, %i1 : 2, %i2 : 2, %i3 : 3] in order [%k0 : 1] {nodes = ["conv"], nominal = #ir.expr<0>} : !graph.tensor<[N, 4, 4, 3], f32> {
      %5 = arith.constant 0.000000e+00 : f32
      %6 = tensor.read %3[0, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %7 = tensor.read %3[1, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %8 = tensor.read %3[2, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %9 = tensor.read %3[3, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %10 = tensor.read %3[4, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %11 = tensor.read %3[5, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %12 = tensor.read %3[6, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %13 = tensor.read %3[7, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %14 = tensor.read %3[8, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %15 = tensor.read %3[9, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %16 = tensor.read %3[10, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %17 = tensor.read %3[11, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %18 = tensor.read %3[12, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %19 = tensor.read %3[13, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %20 = tensor.read %3[14, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %21 = tensor.read %3[15, 4 * %i0 + 2 * %i1 + %i2, %i3]
      %22 = arith.addf %10, %14 : f32
      %23 = arith.subf %10, %14 : f32
      %24 = arith.addf %22, %6 : f32
      %25 = arith.addf %23, %18 : f32
      %26 = arith.addf %11, %15 : f32
      %27 = arith.subf %11, %15 : f32
      %28 = arith.addf %26, %7 : f32
      %29 = arith.addf %27, %19 : f32
      %30 = arith.addf %12, %16 : f32
      %31 = arith.subf %12, %16 : f32
      %32 = arith.addf %30, %8 : f32
      %33 = arith.addf %31, %20 : f32
      %34 = arith.addf %13, %17 : f32
      %35 = arith.subf %13, %17 : f32
      %36 = arith.addf %34, %9 : f32
      %37 = arith.addf %35, %21 : f32
      %38 = arith.addf %28, %32 : f32
      %39 = arith.subf %28, %32 : f32
      %40 = arith.addf %38, %24 : f32
      %41 = arith.addf %39, %36 : f32
      %42 = arith.addf %29, %33 : f32
      %43 = arith.subf %29, %33 : f32
      %44 = arith.addf %42, %25 : f32
      %45 = arith.addf %43, %37 : f32
      %46 = tensor.read %b[%i3] else %5
      %47 = arith.addf %40, %46 : f32
      %48 = tensor.read %b[%i3] else %5
      %49 = arith.addf %41, %48 : f32
      %50 = tensor.read %b[%i3] else %5
      %51 = arith.addf %44, %50 : f32
      %52 = tensor.read %b[%i3] else %5
      %53 = arith.addf %45, %52 : f32
      tensor.put %47 at [%i0, 2 * %i1, 2 * %i2, %i3], %49 at [%i0, 2 * %i1, 2 * %i2 + 1, %i3], %51 at [%i0, 2 * %i1 + 1, 2 * %i2, %i3], %53 at [%i0, 2 * %i1 + 1, 2 * %i2 + 1, %i3]
    }
    func.return %y : !graph.tensor<[N, 4, 4, 3], f32>
  }
}
// -----
// passes: winograd
// So little is not worth the transforms.
builtin.module {
  func.func @main(%x : !graph.tensor<[1, 6, 6, 1], f32>) -> !graph.tensor<[1, 4, 4, 1], f32> {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0]> : !graph.tensor<[3, 3, 1, 1], f32>
    %y = tensor.compute [%n : 1, %h : 4, %w0 : 4, %o : 1] add [%i : 3, %j : 3, %c : 1] : !graph.tensor<[1, 4, 4, 1], f32> {
      %1 = tensor.read %x[%n, %h + %i, %w0 + %j, %c]
      %2 = tensor.read %w[%i, %j, %c, %o]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    func.return %y : !graph.tensor<[1, 4, 4, 1], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[1, 6, 6, 1], f32>) -> !graph.tensor<[1, 4, 4, 1], f32> {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0]> : !graph.tensor<[3, 3, 1, 1], f32>
    %y = tensor.compute [%n : 1, %h : 4, %w0 : 4, %o : 1] add [%i : 3, %j : 3, %c : 1] : !graph.tensor<[1, 4, 4, 1], f32> {
      %0 = tensor.read %x[%n, %h + %i, %w0 + %j, %c]
      %1 = tensor.read %w[%i, %j, %c, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %y : !graph.tensor<[1, 4, 4, 1], f32>
  }
}
// -----
// passes: winograd{tile=2}
// A step of 2 is another convolution, and so is one whose image comes after its channels.
builtin.module {
  func.func @main(%x : !graph.tensor<[1, 5, 5, 1], f32>, %z : !graph.tensor<[1, 1, 4, 4], f32>) -> (!graph.tensor<[1, 2, 2, 1], f32>, !graph.tensor<[1, 1, 2, 2], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0]> : !graph.tensor<[3, 3, 1, 1], f32>
    %y = tensor.compute [%n : 1, %h : 2, %w0 : 2, %o : 1] add [%i : 3, %j : 3, %c : 1] : !graph.tensor<[1, 2, 2, 1], f32> {
      %1 = tensor.read %x[%n, 2 * %h + %i, 2 * %w0 + %j, %c]
      %2 = tensor.read %w[%i, %j, %c, %o]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    %v = tensor.compute [%n : 1, %o : 1, %h : 2, %w0 : 2] add [%c : 1, %i : 3, %j : 3] : !graph.tensor<[1, 1, 2, 2], f32> {
      %1 = tensor.read %z[%n, %c, %h + %i, %w0 + %j]
      %2 = tensor.read %w[%i, %j, %c, %o]
      %3 = arith.mulf %1, %2 : f32
      tensor.yield %3 : f32
    }
    func.return %y, %v : !graph.tensor<[1, 2, 2, 1], f32>, !graph.tensor<[1, 1, 2, 2], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[1, 5, 5, 1], f32>, %z: !graph.tensor<[1, 1, 4, 4], f32>) -> (!graph.tensor<[1, 2, 2, 1], f32>, !graph.tensor<[1, 1, 2, 2], f32>) {
    %w = tensor.constant #ir.weight<[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.0, 0.0, 1.0]> : !graph.tensor<[3, 3, 1, 1], f32>
    %y = tensor.compute [%n : 1, %h : 2, %w0 : 2, %o : 1] add [%i : 3, %j : 3, %c : 1] : !graph.tensor<[1, 2, 2, 1], f32> {
      %0 = tensor.read %x[%n, 2 * %h + %i, 2 * %w0 + %j, %c]
      %1 = tensor.read %w[%i, %j, %c, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    %v = tensor.compute [%n : 1, %o : 1, %h : 2, %w0 : 2] add [%c : 1, %i : 3, %j : 3] : !graph.tensor<[1, 1, 2, 2], f32> {
      %0 = tensor.read %z[%n, %c, %h + %i, %w0 + %j]
      %1 = tensor.read %w[%i, %j, %c, %o]
      %2 = arith.mulf %0, %1 : f32
      tensor.yield %2 : f32
    }
    func.return %y, %v : !graph.tensor<[1, 2, 2, 1], f32>, !graph.tensor<[1, 1, 2, 2], f32>
  }
}
