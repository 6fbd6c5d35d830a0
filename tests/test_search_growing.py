"""A mapping that grows without being changed: whatever is added to whichever, each stays what it was."""

from hypothesis import given
from hypothesis import strategies as st

from esr_ray.search.growing import Growing, growing

# (which of the mappings so far, key, value): histories part where an old one goes on.
additions = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 99)), max_size=30)


def grown(steps):
    """All mappings of a history, each with the dictionary that it should be."""
    found = [(Growing(), {})]
    for which, key, value in steps:
        mapping, content = found[which % len(found)]
        found.append((mapping.plus(key, value), {**content, key: value}))
    return found


@given(additions)
def test_each_is_the_dictionary_that_it_was_made_as(steps):
    for mapping, content in grown(steps):
        assert mapping == content
        assert list(mapping) == list(content)
        assert list(reversed(mapping)) == list(reversed(content))
        assert list(mapping.values()) == list(content.values())
        assert len(mapping) == len(content)
        for key in range(9):
            assert (key in mapping) == (key in content)
            assert mapping.get(key) == content.get(key)


@given(additions)
def test_it_knows_what_it_goes_on_from(steps):
    found = grown(steps)
    for mapping, content in found:
        for other, fewer in found:
            assert mapping.goes_on_from(other) == (fewer.items() <= content.items())
        for size in range(len(content) + 1):
            assert mapping.after(size) == list(content)[size:]


@given(st.dictionaries(st.integers(), st.integers()))
def test_it_can_begin_with_any_content(content):
    mapping = growing(content)
    more = mapping.plus("new", 1)
    assert mapping == content
    assert more == {**content, "new": 1}
    assert more.goes_on_from(mapping)
    assert not mapping.goes_on_from(more)


@given(st.lists(st.integers(0, 50), unique=True), st.integers(0, 60))
def test_the_first_entries_are_a_mapping_of_their_own_that_the_whole_goes_on_from(keys, size):
    whole = growing({key: str(key) for key in keys})
    first = whole.first(size)
    assert dict(first) == {key: str(key) for key in keys[:size]}
    assert list(first) == keys[:size]
    assert whole.goes_on_from(first)
    # Another history that goes on from there changes nothing here.
    other = first.plus(99, "99")
    assert dict(whole) == {key: str(key) for key in keys}
    assert list(other) == [*keys[:size], 99]
