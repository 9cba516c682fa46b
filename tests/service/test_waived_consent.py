"""What left without a consent that an emergency waived, looked at again: nobody withdrew what nobody gave."""

from __future__ import annotations

from adapters.records.synthetic import extract
from gateway.service import calls
from gateway.service.calls.notices import ListNotices, NoticeView
from tests.service.test_emergency import FOREIGN, configured, invoke, review
from tests.service.world import KIND, NOW, Side, World


async def listed(side: Side) -> list[NoticeView]:
    found: list[NoticeView] = await side.call("be-requester", "notices/list", ListNotices())
    return found


async def test_a_waived_consent_is_not_one_that_was_withdrawn(world: World) -> None:
    """Its recipient must be told of nothing, until a review does not uphold the emergency."""
    be = world.be
    await configured(be)
    line = extract(FOREIGN, 1, NOW).splitlines(keepends=True)[-1]
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, line))
    view = await invoke(be, f"BDC-{FOREIGN:06d}")
    await be.send()
    await be.desk.notices.round()
    assert await listed(be) == []
    await review(be, view, "not-upheld")
    await be.desk.notices.settle()
    (notice,) = await listed(be)
    assert (notice.release, notice.changes) == (view.release, ("consent-withdrawn /names",))
