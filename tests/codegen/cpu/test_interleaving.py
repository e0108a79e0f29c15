"""What runs the pool's text in many orders shows what memory as C11 has it allows, nothing else, and faults."""

import pytest

from ircc.testing.interleaving import Fault, Machine, Steps, Thread

# Two threads on two places: handing a message over, and each writing one and reading the other.
TEXT = """
define i64 @write(ptr %x, ptr %y) nounwind {
  store atomic i64 7, ptr %x monotonic, align 8
  store atomic i64 1, ptr %y ORDER, align 8
  ret i64 0
}
define i64 @read(ptr %x, ptr %y) nounwind {
  %flag = load atomic i64, ptr %y OTHER, align 8
  %there = icmp ne i64 %flag, 0
  br i1 %there, label %yes, label %no
yes:
  %value = load atomic i64, ptr %x monotonic, align 8
  ret i64 %value
no:
  ret i64 7
}
define i64 @cross(ptr %x, ptr %y) nounwind {
  store atomic i64 1, ptr %x ORDER, align 8
  %other = load atomic i64, ptr %y OTHER, align 8
  ret i64 %other
}
define i64 @count(ptr %x, ptr %y) nounwind {
  %old = load atomic i64, ptr %x monotonic, align 8
  %new = add i64 %old, 1
  store atomic i64 %new, ptr %x monotonic, align 8
  ret i64 0
}
define i64 @change(ptr %x, ptr %y) nounwind {
  %old = atomicrmw add ptr %x, i64 1 monotonic
  ret i64 0
}
define i64 @plain(ptr %x, ptr %y) nounwind {
  %old = load i64, ptr %x
  %new = add i64 %old, 1
  store i64 %new, ptr %x
  ret i64 0
}
define i64 @sleep(ptr %x, ptr %y) nounwind {
  %slept = call i64 (i64, ...) @syscall(i64 202, ptr %x, i32 128, i32 0, ptr null, ptr null, i32 0)
  ret i64 0
}
"""


def outcomes(first: str, second: str, order: str = "monotonic", other: str = "monotonic") -> set[tuple[int, ...]]:
    """What two functions gave, and then the first place holds, over many orders."""
    text = TEXT.replace("ORDER", order).replace("OTHER", other)
    found = set[tuple[int, ...]]()
    for seed in range(300):
        machine = Machine(text, seed)
        x, y = machine.allocate(8), machine.allocate(8)
        results: dict[str, int] = {}

        def thread_of(machine: Machine, results: dict[str, int], key: str, name: str, *places: int) -> Thread:
            def scenario(thread: Thread) -> Steps:
                results[key] = yield from thread.call(name, *places)

            return machine.start(scenario)

        thread_of(machine, results, "a", first, x, y)
        thread_of(machine, results, "b", second, *((y, x) if second == "@cross" else (x, y)))
        machine.run()
        found.add((results["a"], results["b"], machine.stores_at(x)[-1].value))
    return found


def test_a_message_is_handed_over_by_release_and_acquire_alone() -> None:
    for orders in (("release", "acquire"), ("seq_cst", "seq_cst")):
        assert outcomes("@write", "@read", *orders) == {(0, 7, 7)}
    for orders in (("monotonic", "acquire"), ("release", "monotonic"), ("monotonic", "monotonic")):
        assert outcomes("@write", "@read", *orders) == {(0, 7, 7), (0, 0, 7)}


def test_who_writes_and_then_reads_needs_the_one_order() -> None:
    assert outcomes("@cross", "@cross", "seq_cst", "seq_cst") == {(0, 1, 1), (1, 0, 1), (1, 1, 1)}
    for orders in (("release", "acquire"), ("seq_cst", "acquire"), ("release", "seq_cst")):
        assert (0, 0, 1) in outcomes("@cross", "@cross", *orders)


def test_counts() -> None:
    assert outcomes("@count", "@count") == {(0, 0, 1), (0, 0, 2)}
    assert outcomes("@change", "@change") == {(0, 0, 2)}


def test_faults() -> None:
    with pytest.raises(Fault, match="another wrote"):
        outcomes("@plain", "@plain")
    with pytest.raises(Fault, match=r"nobody can go on: \[\(0, \['@sleep', '@syscall'\]\)"):
        outcomes("@sleep", "@count", "monotonic", "monotonic")
    machine = Machine(TEXT.replace("ORDER", "monotonic").replace("OTHER", "monotonic"), 0)
    machine.start(lambda thread: thread.call("@plain", 8, 16))
    with pytest.raises(Fault, match="memory is used that is not there"):
        machine.run()


def test_what_is_not_known_is_said() -> None:
    machine = Machine("define void @f(ptr %x) {\n  fence seq_cst\n  ret void\n}\n", 0)
    machine.start(lambda thread: thread.call("@f", 0))
    with pytest.raises(ValueError, match="fence seq_cst"):
        machine.run()
