"""LLVM text that allocates the memory of a run.

ptr @ircc.pages(i64 bytes)    64-byte aligned, for free(); null where there is none

From LARGE bytes on Linux is asked for pages of 2 MiB, because the first run touches all of its memory: a page of 4 KiB
costs about a microsecond then, so 9 MB cost a tenth of ResNet-50's first run. The advice may be ignored.
"""

LARGE, PAGE = 1 << 22, 1 << 21
_HUGE = 14  # MADV_HUGEPAGE


def text(triple: str) -> str:
    """The function. It does not declare aligned_alloc."""
    linux = "linux" in triple
    return _FUNCTION.format(
        large=LARGE if linux else -1,
        declare="declare i32 @madvise(ptr, i64, i32)" if linux else "",
        advise=f"%advised = call i32 @madvise(ptr %pages, i64 %whole, i32 {_HUGE})" if linux else "",
        page=PAGE,
        most=PAGE - 1,
        down=-PAGE,
    )


_FUNCTION = """
{declare}
define internal ptr @ircc.pages(i64 %bytes) nounwind {{
  %is_large = icmp uge i64 %bytes, {large}
  br i1 %is_large, label %large, label %small
small:
  %more = add i64 %bytes, 127            ; never 0 bytes
  %round = and i64 %more, -64
  %memory = call ptr @aligned_alloc(i64 64, i64 %round)
  ret ptr %memory
large:
  %up = add i64 %bytes, {most}
  %whole = and i64 %up, {down}
  %pages = call ptr @aligned_alloc(i64 {page}, i64 %whole)
  %failed = icmp eq ptr %pages, null
  br i1 %failed, label %out, label %advise
advise:
  {advise}
  br label %out
out:
  ret ptr %pages
}}
"""
