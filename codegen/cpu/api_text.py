"""LLVM text of the functions of the C interface, for api.py to fill in: `$WORD`, and `struct[%pointer].field`."""

# ---- what a machine says of itself: ircc.bits is a word with one bit for each feature

CPUID = '{ i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx}"'
X86 = """
define internal i32 @ircc.bits(i32 %leaf, i32 %subleaf, i32 %register) nounwind {
entry:
  %extended = icmp eq i32 %leaf, -1
  br i1 %extended, label %saved, label %most
saved:                                   ; asked for only where cpuid says that there is xgetbv
  %xcr = call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx}"(i32 0)
  %xcr0 = extractvalue { i32, i32 } %xcr, 0
  ret i32 %xcr0
most:
  %range = and i32 %leaf, -2147483648
  %first = call $CPUID(i32 %range, i32 0)
  %last = extractvalue { i32, i32, i32, i32 } %first, 0
  %known = icmp uge i32 %last, %leaf
  br i1 %known, label %ask, label %none
none:
  ret i32 0
ask:
  %all = call $CPUID(i32 %leaf, i32 %subleaf)
  %a = extractvalue { i32, i32, i32, i32 } %all, 0
  %b = extractvalue { i32, i32, i32, i32 } %all, 1
  %c = extractvalue { i32, i32, i32, i32 } %all, 2
  %d = extractvalue { i32, i32, i32, i32 } %all, 3
  %is1 = icmp eq i32 %register, 1
  %is2 = icmp eq i32 %register, 2
  %is3 = icmp eq i32 %register, 3
  %ab = select i1 %is1, i32 %b, i32 %a
  %abc = select i1 %is2, i32 %c, i32 %ab
  %found = select i1 %is3, i32 %d, i32 %abc
  ret i32 %found
}
"""

AUXILIARY = """
declare i64 @getauxval(i64)

define internal i32 @ircc.bits(i32 %leaf, i32 %subleaf, i32 %register) nounwind {
  %key = sext i32 %leaf to i64
  %word = call i64 @getauxval(i64 %key)
  %bits = trunc i64 %word to i32
  ret i32 %bits
}
"""

RISCV = """
declare i64 @getauxval(i64)
declare i64 @syscall(i64, ...)

define internal i32 @ircc.bits(i32 %leaf, i32 %subleaf, i32 %register) nounwind {
entry:
  %pair = alloca { i64, i64 }, align 8     ; a key, and the value that the system puts beside it
  %probe = icmp eq i32 %leaf, -2
  br i1 %probe, label %ask, label %auxiliary
auxiliary:
  %key = sext i32 %leaf to i64
  %word = call i64 @getauxval(i64 %key)
  %bits = trunc i64 %word to i32
  ret i32 %bits
ask:                                     ; riscv_hwprobe of what all cores have
  store { i64, i64 } { i64 4, i64 0 }, ptr %pair
  %code = call i64 (i64, ...) @syscall(i64 258, ptr %pair, i64 1, i64 0, ptr null, i64 0)
  %known = icmp eq i64 %code, 0
  br i1 %known, label %told, label %none
told:
  %valuep = getelementptr i8, ptr %pair, i64 8
  %value = load i64, ptr %valuep
  %upper = icmp ne i32 %register, 0
  %shift = select i1 %upper, i64 32, i64 0
  %moved = lshr i64 %value, %shift
  %half = trunc i64 %moved to i32
  ret i32 %half
none:
  ret i32 0
}
"""

ANY = """
define internal i32 @ircc.bits(i32 %leaf, i32 %subleaf, i32 %register) nounwind {
  ret i32 -1
}
"""

FUNCTIONS = """
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare i32 @snprintf(ptr, i64, ptr, ...)
declare i32 @sched_getaffinity(i32, i64, ptr)
define i32 @ircc_abi_version() nounwind {
  ret i32 $ABI
}

define ptr @ircc_describe() nounwind {
  ret ptr @ircc.info
}

; the first feature that a variant needs and the machine lacks, or null
define internal ptr @ircc.lacks(ptr %variant) nounwind {
entry:
  %needsp = variant[%variant].needs
  %needs = load ptr, ptr %needsp
  %countp = variant[%variant].need_count
  %count = load i64, ptr %countp
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %ask ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %ask, label %all
ask:
  %offset = mul i64 %i, 24
  %need = getelementptr i8, ptr %needs, i64 %offset
  %leafp = need[%need].leaf
  %leaf = load i32, ptr %leafp
  %subleafp = need[%need].subleaf
  %subleaf = load i32, ptr %subleafp
  %registerp = need[%need].register
  %register = load i32, ptr %registerp
  %bitp = need[%need].bit
  %bit = load i32, ptr %bitp
  %bits = call i32 @ircc.bits(i32 %leaf, i32 %subleaf, i32 %register)
  %moved = lshr i32 %bits, %bit
  %has = trunc i32 %moved to i1
  %next = add i64 %i, 1
  br i1 %has, label %look, label %lacks
lacks:
  %namep = need[%need].name
  %name = load ptr, ptr %namep
  ret ptr %name
all:
  ret ptr null
}

define i32 @ircc_select() nounwind {
entry:
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %ask ]
  %more = icmp slt i64 %i, $VARIANTS
  br i1 %more, label %ask, label %none
ask:
  %offset = mul i64 %i, $ROW
  %variant = getelementptr i8, ptr @ircc.variants, i64 %offset
  %lacks = call ptr @ircc.lacks(ptr %variant)
  %fits = icmp eq ptr %lacks, null
  %next = add i64 %i, 1
  br i1 %fits, label %found, label %look
found:
  %number = trunc i64 %i to i32
  ret i32 %number
none:
  ret i32 -1
}

define ptr @ircc_missing() nounwind {
entry:
  %chosen = call i32 @ircc_select()
  %none = icmp slt i32 %chosen, 0
  br i1 %none, label %ask, label %fine
ask:                                     ; the last variant asks for least
  %last = mul i64 $ROW, $VARIANTS
  %offset = sub i64 %last, $ROW
  %variant = getelementptr i8, ptr @ircc.variants, i64 %offset
  %lacks = call ptr @ircc.lacks(ptr %variant)
  ret ptr %lacks
fine:
  ret ptr null
}

; a device table for some threads; 0: as many as there are cores for this process, by affinity and cgroups
define internal ptr @ircc.table(ptr %variant, i32 %threads) nounwind {
entry:
  %mask = alloca [16 x i64], align 8
  %wrong = call i32 @sched_getaffinity(i32 0, i64 128, ptr %mask)
  %known = icmp sge i32 %wrong, 0
  br label %count
count:
  %i = phi i64 [ 0, %entry ], [ %next, %count ]
  %sum = phi i64 [ 0, %entry ], [ %sum1, %count ]
  %wordp = getelementptr i64, ptr %mask, i64 %i
  %word = load i64, ptr %wordp
  %set = call i64 @llvm.ctpop.i64(i64 %word)
  %sum1 = add i64 %sum, %set
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, 16
  br i1 %more, label %count, label %counted
counted:
  %quota = call i64 @ircc.quota()
  %granted = call i64 @llvm.smin.i64(i64 %sum1, i64 %quota)
  %some = trunc i64 %granted to i32
  %cores = select i1 %known, i32 %some, i32 1
  %given = icmp sgt i32 %threads, 0
  %wanted = select i1 %given, i32 %threads, i32 %cores
  %crowded = icmp sgt i32 %wanted, %cores
  %spin = select i1 %crowded, i32 $SPIN_CROWDED, i32 $SPIN
  %openp = variant[%variant].open
  %open = load ptr, ptr %openp
  %table = call ptr %open(i32 %wanted, i32 %spin)
  ret ptr %table
}

define i32 @ircc_engine_create(i32 %threads, ptr %engine) nounwind {
entry:
  %nowhere = icmp eq ptr %engine, null
  br i1 %nowhere, label %null, label %begin
null:
  ret i32 1
begin:
  store ptr null, ptr %engine
  %chosen = call i32 @ircc_select()
  %none = icmp slt i32 %chosen, 0
  br i1 %none, label %unsupported, label %make
unsupported:
  ret i32 3
make:
  %number = sext i32 %chosen to i64
  %offset = mul i64 %number, $ROW
  %variant = getelementptr i8, ptr @ircc.variants, i64 %offset
  %openp = variant[%variant].open
  %open = load ptr, ptr %openp
  %other = icmp eq ptr %open, null       ; it runs on a device that Python opens
  br i1 %other, label %unsupported, label %allocate
allocate:
  %made = call ptr @aligned_alloc(i64 64, i64 64)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %memory, label %fill
fill:
  %table = call ptr @ircc.table(ptr %variant, i32 %threads)
  %tablep = engine[%made].table
  store ptr %table, ptr %tablep
  %variantp = engine[%made].variant
  store ptr %variant, ptr %variantp
  %without = icmp eq ptr %table, null
  br i1 %without, label %drop, label %done
drop:
  call void @free(ptr %made)
  br label %memory
memory:
  ret i32 2
done:
  store ptr %made, ptr %engine
  ret i32 0
}

define i32 @ircc_engine_set_threads(ptr %engine, i32 %threads) nounwind {
entry:
  %none = icmp eq ptr %engine, null
  br i1 %none, label %null, label %begin
null:
  ret i32 1
begin:
  %variantp = engine[%engine].variant
  %variant = load ptr, ptr %variantp
  %table = call ptr @ircc.table(ptr %variant, i32 %threads)
  %failed = icmp eq ptr %table, null
  br i1 %failed, label %memory, label %change
memory:
  ret i32 2
change:
  %tablep = engine[%engine].table
  %old = load ptr, ptr %tablep
  store ptr %table, ptr %tablep
  %closep = variant[%variant].close
  %close = load ptr, ptr %closep
  call void %close(ptr %old)
  ret i32 0
}

define void @ircc_engine_destroy(ptr %engine) nounwind {
entry:
  %none = icmp eq ptr %engine, null
  br i1 %none, label %out, label %drop
drop:
  %variantp = engine[%engine].variant
  %variant = load ptr, ptr %variantp
  %tablep = engine[%engine].table
  %table = load ptr, ptr %tablep
  %closep = variant[%variant].close
  %close = load ptr, ptr %closep
  call void %close(ptr %table)
  call void @free(ptr %engine)
  br label %out
out:
  ret void
}

define i32 @ircc_context_create(ptr %engine, ptr %context) nounwind {
entry:
  %nowhere = icmp eq ptr %context, null
  br i1 %nowhere, label %null, label %begin
null:
  ret i32 1
begin:
  store ptr null, ptr %context
  %none = icmp eq ptr %engine, null
  br i1 %none, label %null, label %make
make:
  %variantp = engine[%engine].variant
  %variant = load ptr, ptr %variantp
  %wordsp = variant[%variant].words
  %words = load i64, ptr %wordsp
  %slotsp = variant[%variant].slots
  %slots = load i64, ptr %slotsp
  %bytes = mul i64 %words, 8
  %slot_bytes = mul i64 %slots, 16
  %both = add i64 %bytes, %slot_bytes
  %more = add i64 %both, 703
  %size = and i64 %more, -64
  %made = call ptr @aligned_alloc(i64 64, i64 %size)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %memory, label %fill
memory:
  ret i32 2
fill:
  call void @llvm.memset.p0.i64(ptr %made, i8 0, i64 %size, i1 false)
  %enginep = context[%made].engine
  store ptr %engine, ptr %enginep
  %varp = context[%made].variant
  store ptr %variant, ptr %varp
  %planp = context[%made].plan
  %plan = context[%made].words
  store ptr %plan, ptr %planp
  %slotp = context[%made].slots
  %slot = getelementptr i8, ptr %plan, i64 %bytes
  store ptr %slot, ptr %slotp
  %weightsp = context[%made].weights
  %fromp = variant[%variant].weights
  %weights = load ptr, ptr %fromp
  store ptr %weights, ptr %weightsp
  store ptr %made, ptr %context
  ret i32 0
}

define void @ircc_context_destroy(ptr %context) nounwind {
entry:
  %none = icmp eq ptr %context, null
  br i1 %none, label %out, label %drop
drop:
  %arenap = context[%context].arena
  %arena = load ptr, ptr %arenap
  call void @free(ptr %arena)
  %variantp = context[%context].variant
  %variant = load ptr, ptr %variantp
  %countp = variant[%variant].slots
  %count = load i64, ptr %countp
  %slotsp = context[%context].slots
  %slots = load ptr, ptr %slotsp
  br label %look
look:
  %i = phi i64 [ 0, %drop ], [ %next, %empty ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %empty, label %last
empty:
  %slot = getelementptr [2 x i64], ptr %slots, i64 %i
  %memory = load ptr, ptr %slot
  call void @free(ptr %memory)
  %next = add i64 %i, 1
  br label %look
last:
  call void @free(ptr %context)
  br label %out
out:
  ret void
}

define ptr @ircc_context_error(ptr %context) nounwind {
  %none = icmp eq ptr %context, null
  %text = context[%context].text
  %told = select i1 %none, ptr $NOBODY, ptr %text
  ret ptr %told
}

; 1 where pointers that a call needs are not there
define internal i1 @ircc.lacking(ptr %first, i32 %firsts, ptr %second, i32 %seconds) nounwind {
  %no_first = icmp eq ptr %first, null
  %any_first = icmp sgt i32 %firsts, 0
  %lacks_first = and i1 %no_first, %any_first
  %no_second = icmp eq ptr %second, null
  %any_second = icmp sgt i32 %seconds, 0
  %lacks_second = and i1 %no_second, %any_second
  %lacks = or i1 %lacks_first, %lacks_second
  ret i1 %lacks
}

define internal i32 @ircc.failed(ptr %context, i32 %result, ptr %message) nounwind {
  %text = context[%context].text
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 512, ptr $TEXT_FORMAT, ptr %message)
  ret i32 %result
}

; what a code of ircc_plan or ircc_main means
define internal i32 @ircc.meaning(ptr %context, i32 %code) nounwind {
entry:
  %check = icmp sgt i32 %code, 0
  br i1 %check, label %input, label %other
input:
  %variantp = context[%context].variant
  %variant = load ptr, ptr %variantp
  %checksp = variant[%variant].checks
  %checks = load ptr, ptr %checksp
  %less = sub i32 %code, 1
  %index = sext i32 %less to i64
  %messagep = getelementptr ptr, ptr %checks, i64 %index
  %message = load ptr, ptr %messagep
  %told = call i32 @ircc.failed(ptr %context, i32 1, ptr %message)
  ret i32 %told
other:
  %memory = icmp eq i32 %code, $NO_MEMORY
  br i1 %memory, label %none, label %strange
none:
  %short = call i32 @ircc.failed(ptr %context, i32 2, ptr $SHORT)
  ret i32 %short
strange:
  %text = context[%context].text
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 512, ptr $FAILED, i32 %code)
  ret i32 4
}

define i32 @ircc_context_resize(ptr %context, ptr %input_sizes, ptr %output_sizes) nounwind {
entry:
  %none = icmp eq ptr %context, null
  br i1 %none, label %null, label %begin
null:
  ret i32 1
begin:
  %lacks = call i1 @ircc.lacking(ptr %input_sizes, i32 $INPUT_SIZES, ptr null, i32 0)
  br i1 %lacks, label %absent, label %known
absent:
  %missing = call i32 @ircc.failed(ptr %context, i32 1, ptr $ABSENT)
  ret i32 %missing
known:
  %readyp = context[%context].ready
  store i64 0, ptr %readyp
  %variantp = context[%context].variant
  %variant = load ptr, ptr %variantp
  %checkp = variant[%variant].check
  %check = load ptr, ptr %checkp
  %wrong = call i32 %check(ptr %input_sizes)
  %fits = icmp eq i32 %wrong, 0
  br i1 %fits, label %plan, label %refuse
refuse:
  %less = sub i32 %wrong, 1
  %place = sext i32 %less to i64
  %dimsp = variant[%variant].dims
  %dims = load ptr, ptr %dimsp
  %messagep = getelementptr ptr, ptr %dims, i64 %place
  %message = load ptr, ptr %messagep
  %givenp = getelementptr i64, ptr %input_sizes, i64 %place
  %given = load i64, ptr %givenp
  %text = context[%context].text
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 512, ptr $SIZE_FORMAT, ptr %message, i64 %given)
  ret i32 1
plan:
  %makep = variant[%variant].plan
  %make = load ptr, ptr %makep
  %wordsp = context[%context].plan
  %words = load ptr, ptr %wordsp
  %code = call i32 %make(ptr %input_sizes, ptr %words)
  %planned = icmp eq i32 %code, 0
  br i1 %planned, label %sizes, label %told
told:
  %meaning = call i32 @ircc.meaning(ptr %context, i32 %code)
  ret i32 %meaning
sizes:
  %symbolsp = variant[%variant].symbols
  %symbols = load i64, ptr %symbolsp
  %bytesp = getelementptr i64, ptr %words, i64 %symbols
  %countp = variant[%variant].sizes
  %count = load i64, ptr %countp
  br label %look
look:
  %i = phi i64 [ 0, %sizes ], [ %next, %size ]
  %more = icmp sle i64 %i, %count      ; the arena's bytes stand in front of the outputs' sizes
  br i1 %more, label %size, label %arena
size:
  %sizep = getelementptr i64, ptr %bytesp, i64 %i
  %size1 = load i64, ptr %sizep
  %negative = icmp slt i64 %size1, 0
  %next = add i64 %i, 1
  br i1 %negative, label %below, label %look
below:
  %refused = call i32 @ircc.failed(ptr %context, i32 1, ptr $NEGATIVE)
  ret i32 %refused
arena:
  %bytes = load i64, ptr %bytesp
  %wanted = or i64 %bytes, 63
  %capacityp = context[%context].capacity
  %capacity = load i64, ptr %capacityp
  %enough = icmp ule i64 %wanted, %capacity
  br i1 %enough, label %ready, label %grow
grow:
  %arenap = context[%context].arena
  %old = load ptr, ptr %arenap
  call void @free(ptr %old)
  %new = call ptr @ircc.pages(i64 %wanted)
  store ptr %new, ptr %arenap
  %failed = icmp eq ptr %new, null
  %has = select i1 %failed, i64 0, i64 %wanted
  store i64 %has, ptr %capacityp
  br i1 %failed, label %short, label %ready
short:
  %over = call i32 @ircc.failed(ptr %context, i32 2, ptr $SHORT)
  ret i32 %over
ready:
  store i64 1, ptr %readyp
  call void @ircc_context_sizes(ptr %context, ptr %output_sizes)
  ret i32 0
}

define void @ircc_context_sizes(ptr %context, ptr %output_sizes) nounwind {
entry:
  %nobody = icmp eq ptr %context, null
  %nowhere = icmp eq ptr %output_sizes, null
  %none = or i1 %nobody, %nowhere
  br i1 %none, label %out, label %copy
copy:
  %variantp = context[%context].variant
  %variant = load ptr, ptr %variantp
  %symbolsp = variant[%variant].symbols
  %symbols = load i64, ptr %symbolsp
  %countp = variant[%variant].sizes
  %count = load i64, ptr %countp
  %wordsp = context[%context].plan
  %words = load ptr, ptr %wordsp
  %after = add i64 %symbols, 1
  %from = getelementptr i64, ptr %words, i64 %after
  %bytes = mul i64 %count, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %output_sizes, ptr %from, i64 %bytes, i1 false)
  br label %out
out:
  ret void
}

define i32 @ircc_context_run(ptr %context, ptr %inputs, ptr %outputs) nounwind {
entry:
  %none = icmp eq ptr %context, null
  br i1 %none, label %null, label %begin
null:
  ret i32 1
begin:
  %lacks = call i1 @ircc.lacking(ptr %inputs, i32 $INPUTS, ptr %outputs, i32 $OUTPUTS)
  br i1 %lacks, label %absent, label %known
absent:
  %missing = call i32 @ircc.failed(ptr %context, i32 1, ptr $ABSENT)
  ret i32 %missing
known:
  %readyp = context[%context].ready
  %ready = load i64, ptr %readyp
  %planned = icmp eq i64 %ready, 1
  br i1 %planned, label %run, label %early
early:
  %refused = call i32 @ircc.failed(ptr %context, i32 5, ptr $EARLY)
  ret i32 %refused
run:
  %inputsp = context[%context].inputs
  store ptr %inputs, ptr %inputsp
  %outputsp = context[%context].outputs
  store ptr %outputs, ptr %outputsp
  %enginep = context[%context].engine
  %engine = load ptr, ptr %enginep
  %tablep = engine[%engine].table
  %table = load ptr, ptr %tablep
  %variantp = context[%context].variant
  %variant = load ptr, ptr %variantp
  %mainp = variant[%variant].main
  %main = load ptr, ptr %mainp
  %frame = context[%context].plan
  %code = call i32 %main(ptr %table, ptr %frame)
  %fine = icmp eq i32 %code, 0
  br i1 %fine, label %out, label %failed
failed:
  %meaning = call i32 @ircc.meaning(ptr %context, i32 %code)
  ret i32 %meaning
out:
  ret i32 0
}

declare i64 @llvm.ctpop.i64(i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""
