"""LLVM text of the worker pool and of the native CPU device: every CPU engine carries both.

    text(triple)    the functions below; goes into the module that defines @ircc_kernels

Exported by it:

    ptr  ircc_pool_create(i32 threads, i32 spin)    null for threads < 2: everything then runs on the caller
    void ircc_pool_run(ptr pool, ptr body, ptr args, i64 chunks)
             void body(ptr args, i64 chunk) for every chunk in 0..chunks; returns when all are done
    void ircc_pool_stop(ptr pool)                   workers end and are joined; later runs use the caller alone
    void ircc_pool_forked(ptr pool)                 in a forked child: the workers are gone, start new ones when needed
    void ircc_pool_destroy(ptr pool)                stop and free
    ptr  ircc_cpu_open(i32 threads, i32 spin)       a device table (runtime/device.py), its context and its pool
    void ircc_cpu_close(ptr table)
    i32  ircc_cpu_launch(ptr context, i32 kernel, ptr args, i64 count)
    i32  ircc_cpu_profile_launch(the same)          adds nanoseconds and 1 to entry `kernel` of the context's profile
    i32  ircc_cpu_copy(ptr context, ptr to, ptr from, i64 bytes)
    ptr  ircc_cpu_alloc(ptr context, i64 bytes)     64-byte aligned
    void ircc_cpu_free(ptr context, ptr memory)
    i32  ircc_cpu_wait(ptr context)

The context is what kernels get as their first argument, the Launch: `pool` is its first field, the profile its second.
A kernel with a parallel loop loads the pool from there and calls ircc_pool_run.

How the pool works. A job's chunks are dealt out in order, an equal share to each thread, so that what a thread wrote in
one job is in its own caches in the next; caches of other cores may be as slow as memory. A share is published as one
64-bit word, generation << 32 | chunks left. Whoever wants a chunk takes it by compare-and-swap, from its own share
while that lasts, then from the others'; the caller too, so it finishes alone when no worker is scheduled, and a late
worker's swap fails because the generation has moved on. Workers spin, then sleep on a futex (elsewhere: yield). The
threads start with the first job. A pool that is busy (a second run in another thread, or a run inside a chunk) is not
waited for: the caller computes its chunks itself, with the same bits. Tests run this text in thousands of orders of its
accesses to memory (testing/interleaving.py), and see that changes which would be wrong are found.
"""

import re

from . import pages

FIELDS = {  # offsets; what different threads write stands in cache lines of its own
    "done": 0,  # i32: chunks finished
    "sleepers": 64,  # i32
    "body": 128,  # ptr
    "args": 136,  # ptr
    "threads": 192,  # i32: wanted, the caller included
    "started": 196,  # i32: 0 before the first job, then 1 + workers
    "spin": 200,  # i32: rounds before a worker sleeps
    "stop": 204,  # i32
    "busy": 256,  # i32: held by the caller whose job runs
    "signal": 260,  # i32: what sleepers wait on
    "shares": 320,  # one per thread, the caller's first
}
SHARE = {
    "work": 0,  # i64: generation << 32 | chunks left
    "end": 8,  # i64: the chunk after its last
    "pool": 16,  # ptr
    "handle": 24,  # pthread_t of the worker
}
SHARE_BYTES = 64
TABLE = {"context": 8, "launch": 16, "copy": 24, "alloc": 32, "free": 40, "wait": 48, "pool": 64, "profile": 72}
TABLE_BYTES = 128  # the table at 0, the context at 64
ABI_VERSION = 1

FUTEX_CALL = {  # system call numbers on Linux
    "x86_64": 202, "i386": 240, "i686": 240, "aarch64": 98, "arm": 240, "armv7": 240, "armv7a": 240,
    "riscv64": 98, "riscv32": 422, "loongarch64": 98, "powerpc64le": 221, "s390x": 238,
}  # fmt: skip
PAUSE = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "i386": "call void @llvm.x86.sse2.pause()",
    "i686": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.hint(i32 1)",  # yield
    "arm64": "call void @llvm.aarch64.hint(i32 1)",
}


def text(triple: str) -> str:
    """The pool and the CPU device for `triple`, as LLVM text without target lines.

    The module it is put into has `@ircc_kernels`, an array of kernel pointers, or says that it is elsewhere. It must
    not declare again what is declared here: aligned_alloc, free, madvise, pthread_create, pthread_join, sched_yield,
    syscall and clock_gettime.
    """
    architecture, _, system = triple.partition("-")
    linux = "linux" in system
    call = FUTEX_CALL.get(architecture) if linux else None
    if call is None:
        sleep, wake, declare = "%slept = call i32 @sched_yield()", "", ""
    else:  # 128 and 129: FUTEX_WAIT and FUTEX_WAKE among the threads of this process
        futex = f"call i64 (i64, ...) @syscall(i64 {call}, ptr %signalp,"
        sleep = f"%slept = {futex} i32 128, i32 %seen, ptr null, ptr null, i32 0)"
        wake = f"%woken = {futex} i32 129, i32 %most, ptr null, ptr null, i32 0)"
        declare = "declare i64 @syscall(i64, ...)"
    words = {
        "SLEEP": sleep,
        "WAKE": wake,
        "DECLARE": declare,
        "PAUSE": PAUSE.get(architecture, ""),
        "CLOCK": "1" if linux else "6",  # CLOCK_MONOTONIC of Linux, of macOS
        "TABLE_BYTES": str(TABLE_BYTES),
        "SHARES": str(FIELDS["shares"]),
        "SHARE_BYTES": str(SHARE_BYTES),
        "ABI": str(ABI_VERSION),
    }

    def place(match: re.Match[str]) -> str:
        kind, base, name = match.groups()
        offset = {"pool": FIELDS, "share": SHARE, "table": TABLE}[kind][name]
        return f"getelementptr i8, ptr {base}, i64 {offset}"

    filled = re.sub(r"\$([A-Z_]+)", lambda m: words[m[1]], POOL + DEVICE)
    return re.sub(r"(pool|share|table)\[(%\w+)\]\.(\w+)", place, filled) + pages.text(triple)


POOL = """
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @sched_yield()
$DECLARE

; the share of thread n
define internal ptr @ircc.pool.share(ptr %pool, i32 %n) nounwind alwaysinline {
  %shares = pool[%pool].shares
  %n64 = zext i32 %n to i64
  %offset = mul i64 %n64, $SHARE_BYTES
  %share = getelementptr i8, ptr %shares, i64 %offset
  ret ptr %share
}

; claims and runs chunks of the current job until none is left: those of the own share, then the other threads'
define internal void @ircc.pool.help(ptr %pool, ptr %own) nounwind {
entry:
  %donep = pool[%pool].done
  %bodyp = pool[%pool].body
  %argsp = pool[%pool].args
  %threadsp = pool[%pool].threads
  %threads = load i32, ptr %threadsp
  %first = pool[%pool].shares
  %last = call ptr @ircc.pool.share(ptr %pool, i32 %threads)
  br label %look
look:
  %share = phi ptr [ %own, %entry ], [ %share, %claim ], [ %share, %run ], [ %next, %none ]
  %workp = share[%share].work
  %work = load atomic i64, ptr %workp acquire, align 8
  %left = and i64 %work, 4294967295
  %some = icmp ne i64 %left, 0
  br i1 %some, label %claim, label %none
claim:
  %less = sub i64 %work, 1
  %swap = cmpxchg ptr %workp, i64 %work, i64 %less acq_rel acquire
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %run, label %look
run:                                     ; the job stays as it is until this chunk is counted as done
  %endp = share[%share].end
  %end = load i64, ptr %endp
  %chunk = sub i64 %end, %left
  %body = load ptr, ptr %bodyp
  %args = load ptr, ptr %argsp
  call void %body(ptr %args, i64 %chunk)
  %done = atomicrmw add ptr %donep, i32 1 release
  br label %look
none:
  %after = getelementptr i8, ptr %share, i64 $SHARE_BYTES
  %wrap = icmp eq ptr %after, %last
  %next = select i1 %wrap, ptr %first, ptr %after
  %around = icmp eq ptr %next, %own
  br i1 %around, label %out, label %look
out:
  ret void
}

define internal ptr @ircc.pool.worker(ptr %share) nounwind {
entry:
  %workp = share[%share].work
  %poolp = share[%share].pool
  %pool = load ptr, ptr %poolp
  %sleepersp = pool[%pool].sleepers
  %spinp = pool[%pool].spin
  %stopp = pool[%pool].stop
  %signalp = pool[%pool].signal
  %limit = load i32, ptr %spinp
  br label %wait
wait:
  br label %spin
spin:
  %round = phi i32 [ 0, %wait ], [ %round1, %pause ]
  %work = load atomic i64, ptr %workp acquire, align 8
  %left = trunc i64 %work to i32
  %some = icmp ne i32 %left, 0
  br i1 %some, label %help, label %idle
help:
  call void @ircc.pool.help(ptr %pool, ptr %share)
  br label %wait
idle:
  %stop = load atomic i32, ptr %stopp acquire, align 4
  %quit = icmp ne i32 %stop, 0
  br i1 %quit, label %end, label %count
count:
  %round1 = add i32 %round, 1
  %more = icmp ult i32 %round1, %limit
  br i1 %more, label %pause, label %sleep
pause:
  $PAUSE
  br label %spin
; A waker stores the shares or stop, then raises signal, then looks for sleepers; a sleeper does it the other way round.
; In the one order of seq_cst, either it sees its share or the stop here, or the waker sees it, or signal has changed.
sleep:
  %seen = load atomic i32, ptr %signalp seq_cst, align 4
  %before = atomicrmw add ptr %sleepersp, i32 1 seq_cst
  %work2 = load atomic i64, ptr %workp seq_cst, align 8
  %left2 = trunc i64 %work2 to i32
  %stop2 = load atomic i32, ptr %stopp seq_cst, align 4
  %reasons = or i32 %left2, %stop2
  %nothing = icmp eq i32 %reasons, 0
  br i1 %nothing, label %asleep, label %awake
asleep:
  $SLEEP
  br label %awake
awake:                                   ; perhaps for the share of another, who is still asleep
  %after = atomicrmw sub ptr %sleepersp, i32 1 seq_cst
  br label %help
end:
  ret ptr null
}

define internal void @ircc.pool.wake(ptr %pool, i32 %most) nounwind {
entry:
  %signalp = pool[%pool].signal
  %sleepersp = pool[%pool].sleepers
  %before = atomicrmw add ptr %signalp, i32 1 seq_cst
  %sleepers = load atomic i32, ptr %sleepersp seq_cst, align 4
  %any = icmp ne i32 %sleepers, 0
  br i1 %any, label %wake, label %out
wake:
  $WAKE
  br label %out
out:
  ret void
}

; starts the workers; where the system gives fewer threads, the pool has fewer
define internal void @ircc.pool.start(ptr %pool) nounwind {
entry:
  %threadsp = pool[%pool].threads
  %startedp = pool[%pool].started
  %threads = load i32, ptr %threadsp
  br label %next
next:
  %n = phi i32 [ 1, %entry ], [ %n1, %made ]
  %more = icmp slt i32 %n, %threads
  br i1 %more, label %make, label %out
make:
  %share = call ptr @ircc.pool.share(ptr %pool, i32 %n)
  %poolp = share[%share].pool
  store ptr %pool, ptr %poolp
  %handle = share[%share].handle
  %error = call i32 @pthread_create(ptr %handle, ptr null, ptr @ircc.pool.worker, ptr %share)
  %good = icmp eq i32 %error, 0
  br i1 %good, label %made, label %out
made:
  %n1 = add i32 %n, 1
  br label %next
out:
  store i32 %n, ptr %startedp
  ret void
}

define ptr @ircc_pool_create(i32 %threads, i32 %spin) nounwind {
entry:
  %alone = icmp slt i32 %threads, 2
  br i1 %alone, label %none, label %make
make:
  %t64 = zext i32 %threads to i64
  %shares = mul i64 %t64, $SHARE_BYTES
  %size = add i64 %shares, $SHARES
  %pool = call ptr @aligned_alloc(i64 64, i64 %size)
  %failed = icmp eq ptr %pool, null
  br i1 %failed, label %none, label %fill
fill:
  call void @llvm.memset.p0.i64(ptr %pool, i8 0, i64 %size, i1 false)
  %threadsp = pool[%pool].threads
  store i32 %threads, ptr %threadsp
  %spinp = pool[%pool].spin
  store i32 %spin, ptr %spinp
  ret ptr %pool
none:
  ret ptr null
}

define void @ircc_pool_run(ptr %pool, ptr %body, ptr %args, i64 %chunks) nounwind {
entry:
  %none = icmp eq ptr %pool, null
  %few = icmp slt i64 %chunks, 2
  %alone = or i1 %none, %few
  br i1 %alone, label %serial, label %try
try:
  %busyp = pool[%pool].busy
  %swap = cmpxchg ptr %busyp, i32 0, i32 1 acquire monotonic
  %mine = extractvalue { i32, i1 } %swap, 1
  br i1 %mine, label %ready, label %serial
ready:
  %startedp = pool[%pool].started
  %started = load i32, ptr %startedp
  %fresh = icmp eq i32 %started, 0
  br i1 %fresh, label %start, label %share
start:
  call void @ircc.pool.start(ptr %pool)
  br label %share
share:
  %donep = pool[%pool].done
  %bodyp = pool[%pool].body
  %argsp = pool[%pool].args
  %threadsp = pool[%pool].threads
  %threads = load i32, ptr %threadsp
  %threads64 = zext i32 %threads to i64
  %up = sub i64 %threads64, 1
  %own = pool[%pool].shares
  store ptr %body, ptr %bodyp
  store ptr %args, ptr %argsp
  br label %part
part:                                    ; the counter has 32 bits: at most 2^30 chunks at a time
  %base = phi i64 [ 0, %share ], [ %end, %finished ]
  %rest = sub i64 %chunks, %base
  %count = call i64 @llvm.smin.i64(i64 %rest, i64 1073741824)
  %count32 = trunc i64 %count to i32
  %end = add i64 %base, %count
  store atomic i32 0, ptr %donep monotonic, align 4
  br label %deal
deal:                                    ; thread n has the chunks from count·n / threads on, rounded up
  %n = phi i32 [ 0, %part ], [ %n1, %deal ]
  %from = phi i64 [ %base, %part ], [ %to, %deal ]
  %n1 = add i32 %n, 1
  %n64 = zext i32 %n1 to i64
  %scaled = mul i64 %count, %n64
  %rounded = add i64 %scaled, %up
  %before = udiv i64 %rounded, %threads64
  %to = add i64 %base, %before
  %dealt = call ptr @ircc.pool.share(ptr %pool, i32 %n)
  %workp = share[%dealt].work
  %endp = share[%dealt].end
  store i64 %to, ptr %endp
  %left = sub i64 %to, %from
  %old = load atomic i64, ptr %workp monotonic, align 8
  %high = and i64 %old, -4294967296
  %generation = add i64 %high, 4294967296
  %work = or i64 %generation, %left
  store atomic i64 %work, ptr %workp seq_cst, align 8
  %deals = icmp slt i32 %n1, %threads
  br i1 %deals, label %deal, label %publish
publish:
  %others = sub i32 %count32, 1
  call void @ircc.pool.wake(ptr %pool, i32 %others)
  call void @ircc.pool.help(ptr %pool, ptr %own)
  br label %wait
wait:                                    ; for chunks that workers still compute; they may have lost their core
  %round = phi i32 [ 0, %publish ], [ %round1, %pause ], [ %round1, %yield ]
  %done = load atomic i32, ptr %donep acquire, align 4
  %all = icmp eq i32 %done, %count32
  br i1 %all, label %finished, label %again
again:
  %round1 = add i32 %round, 1
  %long = icmp ugt i32 %round1, 1024
  br i1 %long, label %yield, label %pause
yield:
  %yielded = call i32 @sched_yield()
  br label %wait
pause:
  $PAUSE
  br label %wait
finished:
  %last = icmp eq i64 %end, %chunks
  br i1 %last, label %release, label %part
release:
  store atomic i32 0, ptr %busyp release, align 4
  ret void
serial:
  %more = icmp sgt i64 %chunks, 0
  br i1 %more, label %one, label %out
one:
  %chunk = phi i64 [ 0, %serial ], [ %chunk1, %one ]
  call void %body(ptr %args, i64 %chunk)
  %chunk1 = add i64 %chunk, 1
  %next = icmp slt i64 %chunk1, %chunks
  br i1 %next, label %one, label %out
out:
  ret void
}

; stays busy for ever, so that whoever runs later does it alone
define void @ircc_pool_stop(ptr %pool) nounwind {
entry:
  %none = icmp eq ptr %pool, null
  br i1 %none, label %out, label %look
look:
  %busyp = pool[%pool].busy
  %stopp = pool[%pool].stop
  br label %try
try:
  %swap = cmpxchg ptr %busyp, i32 0, i32 1 acquire monotonic
  %mine = extractvalue { i32, i1 } %swap, 1
  br i1 %mine, label %stop, label %held
held:
  %stopped = load atomic i32, ptr %stopp acquire, align 4
  %before = icmp ne i32 %stopped, 0
  br i1 %before, label %out, label %yield
yield:
  %yielded = call i32 @sched_yield()
  br label %try
stop:
  store atomic i32 1, ptr %stopp seq_cst, align 4
  call void @ircc.pool.wake(ptr %pool, i32 2147483647)
  %startedp = pool[%pool].started
  %started = load i32, ptr %startedp
  br label %next
next:
  %n = phi i32 [ 1, %stop ], [ %n1, %join ]
  %more = icmp slt i32 %n, %started
  br i1 %more, label %join, label %out
join:
  %share = call ptr @ircc.pool.share(ptr %pool, i32 %n)
  %handlep = share[%share].handle
  %handle = load i64, ptr %handlep
  %joined = call i32 @pthread_join(i64 %handle, ptr null)
  %n1 = add i32 %n, 1
  br label %next
out:
  ret void
}

define void @ircc_pool_forked(ptr %pool) nounwind {
entry:
  %none = icmp eq ptr %pool, null
  br i1 %none, label %out, label %reset
reset:
  %threadsp = pool[%pool].threads
  %threads = load i32, ptr %threadsp
  br label %empty
empty:
  %n = phi i32 [ 0, %reset ], [ %n1, %empty ]
  %share = call ptr @ircc.pool.share(ptr %pool, i32 %n)
  %workp = share[%share].work
  store i64 0, ptr %workp
  %n1 = add i32 %n, 1
  %more = icmp slt i32 %n1, %threads
  br i1 %more, label %empty, label %idle
idle:
  %sleepersp = pool[%pool].sleepers
  %startedp = pool[%pool].started
  %busyp = pool[%pool].busy
  %stopp = pool[%pool].stop
  store i32 0, ptr %sleepersp
  store i32 0, ptr %startedp
  %stop = load i32, ptr %stopp           ; a stopped pool stays busy
  store i32 %stop, ptr %busyp
  br label %out
out:
  ret void
}

define void @ircc_pool_destroy(ptr %pool) nounwind {
  call void @ircc_pool_stop(ptr %pool)
  call void @free(ptr %pool)
  ret void
}
"""

DEVICE = """
declare i32 @clock_gettime(i32, ptr)

define i32 @ircc_cpu_launch(ptr %context, i32 %kernel, ptr %args, i64 %count) nounwind {
  %index = sext i32 %kernel to i64
  %slot = getelementptr ptr, ptr @ircc_kernels, i64 %index
  %code = load ptr, ptr %slot
  call void %code(ptr %context, ptr %args)
  ret i32 0
}

define internal i64 @ircc.now() nounwind {
  %time = alloca [2 x i64]
  %error = call i32 @clock_gettime(i32 $CLOCK, ptr %time)
  %seconds = load i64, ptr %time
  %nanosp = getelementptr i64, ptr %time, i64 1
  %nanos = load i64, ptr %nanosp
  %scaled = mul i64 %seconds, 1000000000
  %now = add i64 %scaled, %nanos
  ret i64 %now
}

define i32 @ircc_cpu_profile_launch(ptr %context, i32 %kernel, ptr %args, i64 %count) nounwind {
  %profilep = getelementptr ptr, ptr %context, i64 1
  %profile = load ptr, ptr %profilep
  %index = sext i32 %kernel to i64
  %spentp = getelementptr [2 x i64], ptr %profile, i64 %index
  %callsp = getelementptr i64, ptr %spentp, i64 1
  %start = call i64 @ircc.now()
  %code = call i32 @ircc_cpu_launch(ptr %context, i32 %kernel, ptr %args, i64 %count)
  %stop = call i64 @ircc.now()
  %took = sub i64 %stop, %start
  %spent = load i64, ptr %spentp
  %spent1 = add i64 %spent, %took
  store i64 %spent1, ptr %spentp
  %calls = load i64, ptr %callsp
  %calls1 = add i64 %calls, 1
  store i64 %calls1, ptr %callsp
  ret i32 %code
}

define i32 @ircc_cpu_copy(ptr %context, ptr %to, ptr %from, i64 %bytes) nounwind {
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  ret i32 0
}

define ptr @ircc_cpu_alloc(ptr %context, i64 %bytes) nounwind {
  %memory = call ptr @ircc.pages(i64 %bytes)
  ret ptr %memory
}

define void @ircc_cpu_free(ptr %context, ptr %memory) nounwind {
  call void @free(ptr %memory)
  ret void
}

define i32 @ircc_cpu_wait(ptr %context) nounwind {
  ret i32 0
}

define ptr @ircc_cpu_open(i32 %threads, i32 %spin) nounwind {
entry:
  %table = call ptr @aligned_alloc(i64 64, i64 $TABLE_BYTES)
  %failed = icmp eq ptr %table, null
  br i1 %failed, label %out, label %fill
fill:
  call void @llvm.memset.p0.i64(ptr %table, i8 0, i64 $TABLE_BYTES, i1 false)
  store i64 $ABI, ptr %table
  %contextp = table[%table].context
  %context = table[%table].pool          ; the context begins with the pool
  store ptr %context, ptr %contextp
  %launchp = table[%table].launch
  store ptr @ircc_cpu_launch, ptr %launchp
  %copyp = table[%table].copy
  store ptr @ircc_cpu_copy, ptr %copyp
  %allocp = table[%table].alloc
  store ptr @ircc_cpu_alloc, ptr %allocp
  %freep = table[%table].free
  store ptr @ircc_cpu_free, ptr %freep
  %waitp = table[%table].wait
  store ptr @ircc_cpu_wait, ptr %waitp
  %pool = call ptr @ircc_pool_create(i32 %threads, i32 %spin)
  store ptr %pool, ptr %context
  br label %out
out:
  ret ptr %table
}

define void @ircc_cpu_close(ptr %table) nounwind {
  %poolp = table[%table].pool
  %pool = load ptr, ptr %poolp
  call void @ircc_pool_destroy(ptr %pool)
  call void @free(ptr %table)
  ret void
}
"""
