"""LLVM text that asks how many cores the process's cgroups grant: what runtime/threads.py does, for engines from C.

i64 @ircc.quota()    cores, a part of one counting as one; the largest number where nothing is said
"""

from __future__ import annotations

import re

GROUPS, OWN = "/sys/fs/cgroup", "/proc/self/cgroup"
_NONE = (1 << 63) - 1
# How a line of OWN begins (version 2), or what its list of controllers holds (version 1); two characters further on,
# the path comes behind the next colon.
_LINES = ("0::", ":cpu:", ":cpu,", ",cpu:", ",cpu,")


def text(triple: str, groups: str = GROUPS, own: str = OWN) -> str:
    """The function and what it needs. It does not declare snprintf."""
    if "linux" not in triple:
        return f"define internal i64 @ircc.quota() nounwind {{\n  ret i64 {_NONE}\n}}\n"
    strings = {
        "own": own, "groups": groups, "cpu": f"{groups}/cpu", "place": "%s%.*s", "name": "%s/%s",
        "max": "cpu.max", "quota": "cpu.cfs_quota_us", "period": "cpu.cfs_period_us",
    }  # fmt: skip
    strings |= {f"line{i}": line for i, line in enumerate(_LINES)}
    data = [f'@ircc.quota.{n} = internal constant [{len(s) + 1} x i8] c"{s}\\00"' for n, s in strings.items()]
    rows = ", ".join(f"ptr @ircc.quota.line{i}" for i in range(len(_LINES)))
    data.append(f"@ircc.quota.lines = internal constant [{len(_LINES)} x ptr] [{rows}]")
    words = {"NONE": _NONE, "LINES": len(_LINES), "LENGTH": len(groups), "CPU_LENGTH": len(groups) + 4}
    return "\n".join([*data, re.sub(r"\$([A-Z_]+)", lambda m: str(words[m[1]]), _FUNCTIONS)])


_FUNCTIONS = """
declare i32 @open(ptr, i32, ...)
declare i64 @read(i32, ptr, i64)
declare i32 @close(i32)
declare i64 @strtoll(ptr, ptr, i32)
declare ptr @strstr(ptr, ptr)
declare ptr @strchr(ptr, i32)
declare ptr @strrchr(ptr, i32)

; how a file begins, as text; "" where it cannot be read
define internal void @ircc.quota.read(ptr %path, ptr %text, i64 %size) nounwind {
entry:
  store i8 0, ptr %text
  %file = call i32 (ptr, i32, ...) @open(ptr %path, i32 524288)   ; O_RDONLY | O_CLOEXEC
  %none = icmp slt i32 %file, 0
  br i1 %none, label %out, label %get
get:
  %most = sub i64 %size, 1
  %got = call i64 @read(i32 %file, ptr %text, i64 %most)
  %closed = call i32 @close(i32 %file)
  %length = call i64 @llvm.smax.i64(i64 %got, i64 0)
  %end = getelementptr i8, ptr %text, i64 %length
  store i8 0, ptr %end
  br label %out
out:
  ret void
}

; what one folder grants: `quota period` in cpu.max, or a file for each of the two
define internal i64 @ircc.quota.of(ptr %folder, i1 %two) nounwind {
entry:
  %path = alloca [8704 x i8]
  %text = alloca [128 x i8]
  %restp = alloca ptr
  %first = select i1 %two, ptr @ircc.quota.quota, ptr @ircc.quota.max
  %w1 = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %path, i64 8704, ptr @ircc.quota.name, ptr %folder, ptr %first)
  call void @ircc.quota.read(ptr %path, ptr %text, i64 128)
  %quota = call i64 @strtoll(ptr %text, ptr %restp, i32 10)
  br i1 %two, label %second, label %both
second:
  %w2 = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %path, i64 8704, ptr @ircc.quota.name, ptr %folder,
    ptr @ircc.quota.period)
  call void @ircc.quota.read(ptr %path, ptr %text, i64 128)
  store ptr %text, ptr %restp
  br label %both
both:
  %rest = load ptr, ptr %restp
  %period = call i64 @strtoll(ptr %rest, ptr null, i32 10)
  %granted = icmp sgt i64 %quota, 0      ; "max" and "-1": no limit
  %timed = icmp sgt i64 %period, 0
  %said = and i1 %granted, %timed
  br i1 %said, label %some, label %none
some:
  %scaled = mul i64 %quota, 1000
  %up = mul i64 %period, 999
  %sum = add i64 %scaled, %up
  %by = mul i64 %period, 1000
  %cores = udiv i64 %sum, %by
  ret i64 %cores
none:
  ret i64 $NONE
}

; the least of a folder and those above it, down to the first `%root` characters; cuts the name
define internal i64 @ircc.quota.least(ptr %place, i64 %root, i1 %two) nounwind {
entry:
  br label %look
look:
  %least = phi i64 [ $NONE, %entry ], [ %now, %up ]
  %here = call i64 @ircc.quota.of(ptr %place, i1 %two)
  %now = call i64 @llvm.smin.i64(i64 %least, i64 %here)
  %slash = call ptr @strrchr(ptr %place, i32 47)
  %a = ptrtoint ptr %place to i64
  %b = ptrtoint ptr %slash to i64
  %length = sub i64 %b, %a
  %more = icmp sge i64 %length, %root
  br i1 %more, label %up, label %out
up:
  store i8 0, ptr %slash
  br label %look
out:
  ret i64 %now
}

define internal i64 @ircc.quota() nounwind {
entry:
  %listing = alloca [4096 x i8]
  %place = alloca [8448 x i8]
  call void @ircc.quota.read(ptr @ircc.quota.own, ptr %listing, i64 4096)
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  %least = phi i64 [ $NONE, %entry ], [ %now, %again ]
  %linep = getelementptr [$LINES x ptr], ptr @ircc.quota.lines, i64 0, i64 %i
  %line = load ptr, ptr %linep
  %found = call ptr @strstr(ptr %listing, ptr %line)
  %none = icmp eq ptr %found, null
  br i1 %none, label %again, label %there
there:
  %inside = getelementptr i8, ptr %found, i64 2
  %colon = call ptr @strchr(ptr %inside, i32 58)
  %cut = icmp eq ptr %colon, null
  br i1 %cut, label %again, label %path
path:
  %path1 = getelementptr i8, ptr %colon, i64 1
  %newline = call ptr @strchr(ptr %path1, i32 10)
  %a = ptrtoint ptr %path1 to i64
  %b = ptrtoint ptr %newline to i64
  %span = sub i64 %b, %a
  %open = icmp eq ptr %newline, null
  %length = select i1 %open, i64 4096, i64 %span
  %length32 = trunc i64 %length to i32
  %two = icmp sgt i64 %i, 0
  %root = select i1 %two, ptr @ircc.quota.cpu, ptr @ircc.quota.groups
  %root_length = select i1 %two, i64 $CPU_LENGTH, i64 $LENGTH
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %place, i64 8448, ptr @ircc.quota.place, ptr %root,
    i32 %length32, ptr %path1)
  %granted = call i64 @ircc.quota.least(ptr %place, i64 %root_length, i1 %two)
  br label %again
again:
  %here = phi i64 [ $NONE, %look ], [ $NONE, %there ], [ %granted, %path ]
  %now = call i64 @llvm.smin.i64(i64 %least, i64 %here)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, $LINES
  br i1 %more, label %look, label %out
out:
  %cores = call i64 @llvm.smax.i64(i64 %now, i64 1)
  ret i64 %cores
}
"""
