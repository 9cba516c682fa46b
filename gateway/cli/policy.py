"""`ecluse policy explain`: a rule, or the reasons of a release, in words."""

from typing import Annotated

import typer

from gateway.cli.release import bound, field_table
from gateway.cli.shared import Acting, Answer, acting, group
from gateway.errors import RequestInvalid

commands = group("The release policy.")


@acting(commands, "explain")
async def explain(
    on: Acting,
    rule: Annotated[str, typer.Argument(help="Rule id, such as bdc.recipient.")] = "",
    release: Annotated[
        str, typer.Option("--release", help="Explain the decision of this release instead.")
    ] = "",
    language: Annotated[str, typer.Option("--language", help="fr, nl, de or en")] = "en",
) -> Answer:
    """Explain a rule with its source, or why a release is as it is."""
    if bool(rule) == bool(release):
        raise RequestInvalid("name a rule, or a release with --release")
    if release:
        return await _release(on, release, language)
    from gateway.service.calls import Explain, Explained

    found: Explained = await on.desk.call("policy/explain", Explain(rule, language), Explained)
    return Answer(found, [found.text])


async def _release(on: Acting, release: str, language: str) -> Answer:
    from gateway.policy.explain import explain as words
    from gateway.service.calls import Named, ReleaseView

    view: ReleaseView = await on.desk.call("releases/show", Named(release), ReleaseView)
    document = bound(view).document
    reasons = [words(reason, language) for reason in document.reasons]
    fields = [field for record in document.records for field in record.fields]
    return Answer({"release": release, "reasons": reasons, "fields": fields}, [*reasons, field_table(fields)])
