// passes: graph-to-tensor
// A convolution is channels-last inside: the padded input and the weight are brought into that order, the bias is added at
// the end, and a movement brings the result back.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 3, H, W], f32>, %w : !graph.tensor<[8, 3, 3, 3], f32>, %b : !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32> {
    %y = graph.conv %x, %w, %b <strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 1> {nodes = ["Conv_0"]} : (!graph.tensor<[N, 3, H, W], f32>, !graph.tensor<[8, 3, 3, 3], f32>, !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32>
    func.return %y : !graph.tensor<[N, 8, H, W], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 3, H, W], f32>, %w: !graph.tensor<[8, 3, 3, 3], f32>, %b: !graph.tensor<[8], f32>) -> !graph.tensor<[N, 8, H, W], f32> {
    %0 = tensor.compute [%i0 : N, %i1 : H + 2, %i2 : W + 2, %i3 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H + 2, W + 2, 3], f32> {
      %1 = arith.constant 0.000000e+00 : f32
      %2 = tensor.read %x[%i0, %i3, %i1 - 1, %i2 - 1] else %1
      tensor.yield %2 : f32
    }
    %1 = tensor.compute [%i0 : 3, %i1 : 3, %i2 : 3, %i3 : 8] {nodes = ["Conv_0"]} : !graph.tensor<[3, 3, 3, 8], f32> {
      %2 = tensor.read %w[%i3, %i2, %i0, %i1]
      tensor.yield %2 : f32
    }
    %2 = tensor.compute [%i0 : N, %i1 : H, %i2 : W, %i3 : 8] add [%k0 : 3, %k1 : 3, %k2 : 3] {nodes = ["Conv_0"]} : !graph.tensor<[N, H, W, 8], f32> {
      %3 = tensor.read %0[%i0, %i1 + %k0, %i2 + %k1, %k2]
      %4 = tensor.read %1[%k0, %k1, %k2, %i3]
      %5 = arith.mulf %3, %4 : f32
      tensor.yield %5 : f32
    } finish {
    ^bb0(%i0: index, %i1: index, %i2: index, %i3: index, %acc: f32):
      %3 = tensor.read %b[%i3]
      %4 = arith.addf %acc, %3 : f32
      tensor.yield %4 : f32
    }
    %y = tensor.compute [%i0 : N, %i1 : 8, %i2 : H, %i3 : W] {nodes = ["Conv_0"]} : !graph.tensor<[N, 8, H, W], f32> {
      %3 = tensor.read %2[%i0, %i2, %i3, %i1]
      tensor.yield %3 : f32
    }
    func.return %y : !graph.tensor<[N, 8, H, W], f32>
  }
}
// -----
// passes: graph-to-tensor
// Sizes that need not be equal broadcast at run time: index 0 where the size is 1.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32>, %y : !graph.tensor<[M, 1], f32>) -> !graph.tensor<[max(M, N) * min(1, M, N), 4], f32> {
    %z = graph.add %x, %y {nodes = ["Add_0"]} : (!graph.tensor<[N, 4], f32>, !graph.tensor<[M, 1], f32>) -> !graph.tensor<[max(M, N) * min(1, M, N), 4], f32>
    func.return %z : !graph.tensor<[max(M, N) * min(1, M, N), 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4], f32>, %y: !graph.tensor<[M, 1], f32>) -> !graph.tensor<[min(1, M, N) * max(M, N), 4], f32> {
    %z = tensor.compute [%i0 : min(1, M, N) * max(M, N), %i1 : 4] {nodes = ["Add_0"]} : !graph.tensor<[min(1, M, N) * max(M, N), 4], f32> {
      %0 = tensor.read %x[%i0 * min(1, N - 1), %i1]
      %1 = tensor.read %y[%i0 * min(1, M - 1), 0]
      %2 = arith.addf %0, %1 {rounded} : f32
      tensor.yield %2 : f32
    }
    func.return %z : !graph.tensor<[min(1, M, N) * max(M, N), 4], f32>
  }
}
// -----
// passes: graph-to-tensor
// A reshape that merges and splits axes stays affine where it can, and groups of axes do not mix.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32> {
    %y = graph.reshape %x <shape = [N, 2, 3, H * W]> : (!graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32>
    func.return %y : !graph.tensor<[N, 2, 3, H * W], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 6, H, W], f32>) -> !graph.tensor<[N, 2, 3, H * W], f32> {
    %y = tensor.compute [%i0 : N, %i1 : 2, %i2 : 3, %i3 : H * W] : !graph.tensor<[N, 2, 3, H * W], f32> {
      %0 = tensor.read %x[%i0, 3 * %i1 + %i2, %i3 floordiv W, %i3 mod W]
      tensor.yield %0 : f32
    }
    func.return %y : !graph.tensor<[N, 2, 3, H * W], f32>
  }
}
// -----
// passes: graph-to-tensor
// A softmax is two reductions and two elementwise computations.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32> {
    %y = graph.softmax %x <axis = -1> : (!graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32>
    func.return %y : !graph.tensor<[N, K], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, K], f32>) -> !graph.tensor<[N, K], f32> {
    %0 = tensor.compute [%i0 : N, %i1 : 1] max [%k0 : K] : !graph.tensor<[N, 1], f32> {
      %1 = tensor.read %x[%i0, %k0]
      tensor.yield %1 : f32
    }
    %1 = tensor.compute [%i0 : N, %i1 : K] : !graph.tensor<[N, K], f32> {
      %2 = tensor.read %x[%i0, %i1]
      %3 = tensor.read %0[%i0, 0]
      %4 = arith.subf %2, %3 {rounded} : f32
      %5 = math.exp %4 : f32
      tensor.yield %5 : f32
    }
    %2 = tensor.compute [%i0 : N, %i1 : 1] add [%k0 : K] : !graph.tensor<[N, 1], f32> {
      %3 = tensor.read %1[%i0, %k0]
      tensor.yield %3 : f32
    } finish {
    ^bb0(%i0: index, %i1: index, %acc: f32):
      %3 = arith.constant 1.000000e+00 : f32
      %4 = arith.divf %3, %acc : f32
      tensor.yield %4 : f32
    }
    %y = tensor.compute [%i0 : N, %i1 : K] : !graph.tensor<[N, K], f32> {
      %3 = tensor.read %1[%i0, %i1]
      %4 = tensor.read %2[%i0, 0]
      %5 = arith.mulf %3, %4 {rounded} : f32
      tensor.yield %5 : f32
    }
    func.return %y : !graph.tensor<[N, K], f32>
  }
}
// -----
// passes: graph-to-tensor
// A running sum is written in place over what it starts from, here x shifted by one; the other axes are independent.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32> {
    %y = graph.cum_sum %x <axis = 0, exclusive = true, reverse = false> {nodes = ["CumSum_0"]} : (!graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32>
    func.return %y : !graph.tensor<[N, 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4], f32>) -> !graph.tensor<[N, 4], f32> {
    %0 = tensor.compute [%i0 : N, %i1 : 4] {nodes = ["CumSum_0"]} : !graph.tensor<[N, 4], f32> {
      %1 = arith.constant 0.000000e+00 : f32
      %2 = tensor.read %x[%i0 - 1, %i1] else %1
      tensor.yield %2 : f32
    }
    %y = tensor.update %0 as %now [%i0 : 4] in order [%k0 : N - 1] {nodes = ["CumSum_0"]} : !graph.tensor<[N, 4], f32> {
      %1 = tensor.read %now[%k0, %i0]
      %2 = tensor.read %now[%k0 + 1, %i0]
      %3 = arith.addf %1, %2 : f32
      tensor.put %3 at [%k0 + 1, %i0]
    }
    func.return %y : !graph.tensor<[N, 4], f32>
  }
}
// -----
// passes: graph-to-tensor
// Index vectors go one after the other, because two may be equal; an index outside of x writes nothing.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 4], f32>, %indices : !graph.tensor<[M, 1], i64>, %updates : !graph.tensor<[M, 4], f32>) -> !graph.tensor<[N, 4], f32> {
    %y = graph.scatter_nd %x, %indices, %updates <reduction = "add"> {nodes = ["ScatterND_0"]} : (!graph.tensor<[N, 4], f32>, !graph.tensor<[M, 1], i64>, !graph.tensor<[M, 4], f32>) -> !graph.tensor<[N, 4], f32>
    func.return %y : !graph.tensor<[N, 4], f32>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 4], f32>, %indices: !graph.tensor<[M, 1], i64>, %updates: !graph.tensor<[M, 4], f32>) -> !graph.tensor<[N, 4], f32> {
    %y = tensor.update %x as %now [%i0 : 4] in order [%k0 : M] {nodes = ["ScatterND_0"]} : !graph.tensor<[N, 4], f32> {
      %0 = tensor.read %indices[%k0, 0]
      %1 = arith.constant 0 : i64
      %2 = arith.cmpi slt, %0, %1 : i64
      %3 = tensor.index N
      %4 = arith.index_cast %3 : index to i64
      %5 = arith.addi %0, %4 : i64
      %6 = arith.select %2, %5, %0 : i64
      %7 = arith.index_cast %6 : i64 to index
      %8 = tensor.read %updates[%k0, %i0]
      %9 = arith.constant 0.000000e+00 : f32
      %10 = tensor.read %now[%7, %i0] else %9
      %11 = arith.addf %10, %8 : f32
      tensor.put %11 at [%7, %i0]
    }
    func.return %y : !graph.tensor<[N, 4], f32>
  }
}
// -----
// passes: graph-to-tensor
// The greatest elements are the first ones of a sort: each pass merges pairs of runs from one half of a line to the other.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 260], i32>) -> (!graph.tensor<[N, 200], i32>, !graph.tensor<[N, 200], i64>) {
    %v, %p = graph.top_k %x <k = 200, axis = 1, largest = true, sorted = true> {nodes = ["TopK_0"]} : (!graph.tensor<[N, 260], i32>) -> (!graph.tensor<[N, 200], i32>, !graph.tensor<[N, 200], i64>)
    func.return %v, %p : !graph.tensor<[N, 200], i32>, !graph.tensor<[N, 200], i64>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 260], i32>) -> (!graph.tensor<[N, 200], i32>, !graph.tensor<[N, 200], i64>) {
    %0 = tensor.compute [%i0 : N, %i1 : 521] {nodes = ["TopK_0"]} : !graph.tensor<[N, 521], i64> {
      %1 = tensor.index %i1
      %2 = arith.index_cast %1 : index to i64
      tensor.yield %2 : i64
    }
    %1 = tensor.update %0 as %now [%i0 : N] in order [%k0 : 9, %k1 : 260] {nodes = ["TopK_0"]} : !graph.tensor<[N, 521], i64> {
      %2 = arith.constant 260 : i64
      %3 = tensor.index %k1
      %4 = arith.index_cast %3 : index to i64
      %5 = arith.constant 1 : i64
      %6 = tensor.index %k0
      %7 = arith.index_cast %6 : index to i64
      %8 = arith.shli %5, %7 : i64
      %9 = arith.addi %8, %8 : i64
      %10 = arith.constant 1 : i64
      %11 = arith.subi %9, %10 : i64
      %12 = arith.andi %4, %11 : i64
      %13 = arith.constant 0 : i64
      %14 = arith.cmpi eq, %12, %13 : i64
      %15 = arith.constant 0 : i64
      %16 = tensor.read %now[%i0, 520]
      %17 = arith.select %14, %15, %16 : i64
      %18 = arith.subi %12, %17 : i64
      %19 = arith.subi %4, %12 : i64
      %20 = arith.addi %19, %17 : i64
      %21 = arith.subi %4, %12 : i64
      %22 = arith.addi %21, %8 : i64
      %23 = arith.addi %22, %18 : i64
      %24 = arith.index_cast %20 : i64 to index
      %25 = arith.constant 0 : i64
      %26 = tensor.read %now[%i0, %24 + 260 * (%k0 mod 2)] else %25
      %27 = arith.index_cast %23 : i64 to index
      %28 = arith.constant 0 : i64
      %29 = tensor.read %now[%i0, %27 + 260 * (%k0 mod 2)] else %28
      %30 = arith.index_cast %26 : i64 to index
      %31 = arith.index_cast %29 : i64 to index
      %32 = arith.cmpi sge, %17, %8 : i64
      %33 = arith.cmpi sge, %18, %8 : i64
      %34 = arith.cmpi sge, %23, %2 : i64
      %35 = arith.ori %33, %34 : i1
      %36 = arith.constant true
      %37 = arith.xori %35, %36 : i1
      %38 = arith.constant 0 : i32
      %39 = tensor.read %x[%i0, %31] else %38
      %40 = arith.constant 0 : i32
      %41 = tensor.read %x[%i0, %30] else %40
      %42 = arith.cmpi sgt, %39, %41 : i32
      %43 = arith.ori %32, %42 : i1
      %44 = arith.andi %37, %43 : i1
      %45 = arith.constant 1 : i64
      %46 = arith.addi %17, %45 : i64
      %47 = arith.select %44, %17, %46 : i64
      %48 = arith.select %44, %29, %26 : i64
      tensor.put %48 at [%i0, %k1 + 260 * ((%k0 + 1) mod 2)], %47 at [%i0, 520]
    }
    %2 = tensor.compute [%i0 : N, %i1 : 260] {nodes = ["TopK_0"]} : !graph.tensor<[N, 260], i64> {
      %3 = tensor.read %1[%i0, %i1 + 260]
      tensor.yield %3 : i64
    }
    %v = tensor.compute [%i0 : N, %i1 : 200] {nodes = ["TopK_0"]} : !graph.tensor<[N, 200], i32> {
      %3 = tensor.read %2[%i0, %i1]
      %4 = arith.index_cast %3 : i64 to index
      %5 = arith.constant 0 : i32
      %6 = tensor.read %x[%i0, %4] else %5
      tensor.yield %6 : i32
    }
    %p = tensor.compute [%i0 : N, %i1 : 200] {nodes = ["TopK_0"]} : !graph.tensor<[N, 200], i64> {
      %3 = tensor.read %2[%i0, %i1]
      tensor.yield %3 : i64
    }
    func.return %v, %p : !graph.tensor<[N, 200], i32>, !graph.tensor<[N, 200], i64>
  }
}
// -----
// passes: graph-to-tensor
// The first few are found in blocks: of 16 the first one stays, by its place; those that stay are compared with each other.
builtin.module {
  func.func @main(%x : !graph.tensor<[N, 1000], i32>) -> (!graph.tensor<[N, 1], i32>, !graph.tensor<[N, 1], i64>) {
    %v, %p = graph.top_k %x <k = 1, axis = 1, largest = true, sorted = true> {nodes = ["TopK_0"]} : (!graph.tensor<[N, 1000], i32>) -> (!graph.tensor<[N, 1], i32>, !graph.tensor<[N, 1], i64>)
    func.return %v, %p : !graph.tensor<[N, 1], i32>, !graph.tensor<[N, 1], i64>
  }
}
// =====
builtin.module {
  func.func @main(%x: !graph.tensor<[N, 1000], i32>) -> (!graph.tensor<[N, 1], i32>, !graph.tensor<[N, 1], i64>) {
    %0 = tensor.compute [%i0 : N, %i1 : 63, %i2 : 16] add [%k0 : 16] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63, 16], i32> {
      %1 = tensor.index 16 * %i1 + %k0
      %2 = arith.index_cast %1 : index to i64
      %3 = arith.constant 1000 : i64
      %4 = arith.cmpi slt, %2, %3 : i64
      %5 = tensor.index %k0
      %6 = arith.index_cast %5 : index to i64
      %7 = tensor.index %i2
      %8 = arith.index_cast %7 : index to i64
      %9 = arith.cmpi slt, %6, %8 : i64
      %10 = arith.constant 0 : i32
      %11 = tensor.read %x[%i0, 16 * %i1 + %k0] else %10
      %12 = arith.constant 0 : i32
      %13 = tensor.read %x[%i0, 16 * %i1 + %i2] else %12
      %14 = arith.cmpi sgt, %11, %13 : i32
      %15 = arith.constant 0 : i32
      %16 = tensor.read %x[%i0, 16 * %i1 + %i2] else %15
      %17 = arith.constant 0 : i32
      %18 = tensor.read %x[%i0, 16 * %i1 + %k0] else %17
      %19 = arith.cmpi sgt, %16, %18 : i32
      %20 = arith.constant true
      %21 = arith.xori %19, %20 : i1
      %22 = arith.andi %9, %21 : i1
      %23 = arith.ori %14, %22 : i1
      %24 = arith.andi %4, %23 : i1
      %25 = arith.extui %24 : i1 to i32
      tensor.yield %25 : i32
    }
    %1 = tensor.compute [%i0 : N, %i1 : 63, %i2 : 1] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63, 1], i64> {
      %2 = arith.constant -1 : i64
      tensor.yield %2 : i64
    }
    %2 = tensor.update %1 as %now [%i0 : N, %i1 : 63] in order [%k0 : 16] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63, 1], i64> {
      %3 = tensor.index 16 * %i1 + %k0
      %4 = arith.index_cast %3 : index to i64
      %5 = tensor.read %0[%i0, %i1, %k0]
      %6 = arith.extsi %5 : i32 to i64
      %7 = arith.constant 1000 : i64
      %8 = arith.cmpi slt, %4, %7 : i64
      %9 = arith.constant 1 : i64
      %10 = arith.select %8, %6, %9 : i64
      %11 = arith.index_cast %10 : i64 to index
      tensor.put %4 at [%i0, %i1, %11]
    }
    %3 = tensor.compute [%i0 : N, %i1 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i64> {
      %4 = tensor.read %2[%i0, %i1, 0]
      tensor.yield %4 : i64
    }
    %4 = tensor.compute [%i0 : N, %i1 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i32> {
      %5 = tensor.read %3[%i0, %i1]
      %6 = arith.index_cast %5 : i64 to index
      %7 = arith.constant 0 : i32
      %8 = tensor.read %x[%i0, %6] else %7
      tensor.yield %8 : i32
    }
    %5 = tensor.compute [%i0 : N, %i1 : 63] add [%k0 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i32> {
      %6 = tensor.index %k0
      %7 = arith.index_cast %6 : index to i64
      %8 = tensor.index %i1
      %9 = arith.index_cast %8 : index to i64
      %10 = arith.cmpi slt, %7, %9 : i64
      %11 = tensor.read %3[%i0, %k0]
      %12 = tensor.read %3[%i0, %i1]
      %13 = tensor.read %4[%i0, %k0]
      %14 = tensor.read %4[%i0, %i1]
      %15 = arith.constant 0 : i64
      %16 = arith.cmpi sge, %11, %15 : i64
      %17 = arith.constant 0 : i64
      %18 = arith.cmpi slt, %12, %17 : i64
      %19 = arith.cmpi sgt, %13, %14 : i32
      %20 = arith.ori %18, %19 : i1
      %21 = arith.andi %16, %20 : i1
      %22 = tensor.read %3[%i0, %i1]
      %23 = tensor.read %3[%i0, %k0]
      %24 = tensor.read %4[%i0, %i1]
      %25 = tensor.read %4[%i0, %k0]
      %26 = arith.constant 0 : i64
      %27 = arith.cmpi sge, %22, %26 : i64
      %28 = arith.constant 0 : i64
      %29 = arith.cmpi slt, %23, %28 : i64
      %30 = arith.cmpi sgt, %24, %25 : i32
      %31 = arith.ori %29, %30 : i1
      %32 = arith.andi %27, %31 : i1
      %33 = arith.constant true
      %34 = arith.xori %32, %33 : i1
      %35 = arith.andi %10, %34 : i1
      %36 = arith.ori %21, %35 : i1
      %37 = arith.extui %36 : i1 to i32
      tensor.yield %37 : i32
    }
    %6 = tensor.compute [%i0 : N, %i1 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i64> {
      %7 = arith.constant 0 : i64
      tensor.yield %7 : i64
    }
    %7 = tensor.update %6 as %now [%i0 : N] in order [%k0 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i64> {
      %8 = tensor.read %5[%i0, %k0]
      %9 = arith.extsi %8 : i32 to i64
      %10 = arith.index_cast %9 : i64 to index
      %11 = tensor.index %k0
      %12 = arith.index_cast %11 : index to i64
      tensor.put %12 at [%i0, %10]
    }
    %8 = tensor.compute [%i0 : N, %i1 : 63] {nodes = ["TopK_0"]} : !graph.tensor<[N, 63], i64> {
      %9 = tensor.read %7[%i0, %i1]
      %10 = arith.index_cast %9 : i64 to index
      %11 = arith.constant -1 : i64
      %12 = tensor.read %3[%i0, %10] else %11
      tensor.yield %12 : i64
    }
    %v = tensor.compute [%i0 : N, %i1 : 1] {nodes = ["TopK_0"]} : !graph.tensor<[N, 1], i32> {
      %9 = tensor.read %8[%i0, %i1]
      %10 = arith.index_cast %9 : i64 to index
      %11 = arith.constant 0 : i32
      %12 = tensor.read %x[%i0, %10] else %11
      tensor.yield %12 : i32
    }
    %p = tensor.compute [%i0 : N, %i1 : 1] {nodes = ["TopK_0"]} : !graph.tensor<[N, 1], i64> {
      %9 = tensor.read %8[%i0, %i1]
      tensor.yield %9 : i64
    }
    func.return %v, %p : !graph.tensor<[N, 1], i32>, !graph.tensor<[N, 1], i64>
  }
}
