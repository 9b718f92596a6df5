import pytest

from convcheck.mistakes import blind_spots, diagnose, wrong_forward


@pytest.fixture(scope="module", autouse=True)
def an_entry_of_the_catalogue_that_raises_is_seen():
    """A search leaves out what raises, for the user's sake; here it must come to light."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (blind_spots, diagnose, wrong_forward):
            patch.setattr(module, "unless_it_raises", lambda made, *scene: list(made(*scene)))
        yield
