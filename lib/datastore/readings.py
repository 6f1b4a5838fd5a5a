"""Every reader's decision on each image, from the history of its final label; what counts; and adjudicating where they differ."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lesionlabel.datastore.adjudications import Adjudications
from lesionlabel.datastore.curate import UNKNOWN_READER, class_or_other
from lesionlabel.datastore.history import REFUSED, REMOVED, History, Version, stamp_of
from lesionlabel.datastore.index import FINAL
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.consensus import PROOFS, Adjudication, Agreement, Settled, Word, settle
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, UnknownClassError
from lesionlabel.lesions.lesion import Lesion, Proof, parse_proof
from lesionlabel.lesions.readings import NO_LESION, OTHER, Decision, read_lesions, reader_key, spacing_of, usable

#: Who saves without a name: the client's default, which 3D Slicer sends where nobody set one, among them.
NOBODY = ("", UNKNOWN_READER, "user-xyz")

#: image id -> the info of its current final label, None where it has none. Raises NotFoundError for an unknown image.
CurrentInfo = Callable[[str], dict[str, Any] | None]


class Readings:
    """What the readers of a studies folder decided, as its history knows it.

    Taking the final label out of use, or putting other pixels in the image's place, ends all readings of the image: they stay in
    the history and count no more. lock: held while an adjudication is checked and kept.
    """

    def __init__(self, history: History, current: CurrentInfo, lock: AbstractContextManager[Any]) -> None:
        self._history, self._current, self._lock = history, current, lock
        self._adjudications = Adjudications(history.folder / "adjudications")
        self._known: dict[str, _Saved] = {}

    def decisions(self, image_id: str) -> list[Decision]:
        """All decisions that readers saved, oldest first. Empty where the image has no final label that was curated."""
        current = self._current(image_id)
        if current is None or "lesions" not in current:
            return []
        infos = list(self._saved(image_id).infos)
        if not infos or infos[-1] != current:  # a label that was put there by hand is not in the history yet
            infos.append(current)
        return [_decision(info) for info in infos if "lesions" in info]

    def latest(self, image_id: str, blind: bool = False) -> list[Decision]:
        """One decision of each reader, the last one, which takes the place of those before; in the order in which they saved.

        A label that no lesion could be taken from does not take the place of a decision: what readers differ on would be gone.
        blind: the last one before the reader may have seen a model's answer, also where a later one has taken its place. Taking
        only what readers left unchanged after the answer would keep what the model agrees with.
        """
        return _latest([one for one in self.decisions(image_id) if one.blind or not blind])

    def superseded(self, image_id: str) -> list[Decision]:
        """The decisions that are not their reader's latest, oldest first."""
        decisions = self.decisions(image_id)
        latest = {id(one) for one in _latest(decisions)}
        return [one for one in decisions if id(one) not in latest]

    def adjudications(self, image_id: str) -> list[Adjudication]:
        """Those on the image's present readings, oldest first."""
        removed = self._saved(image_id).removed
        return [one for one in self._adjudications.of(image_id) if one.id > removed]

    def settled(self, image_id: str) -> list[Settled]:
        """The image's lesions with what each reader said and what counts.

        With one reader what was saved last counts: nothing, if no lesion could be taken from it.
        """
        saved = self.decisions(image_id)
        decisions = usable(_latest(saved))
        if len(decisions) == 1 and not usable(saved[-1:]) and reader_key(saved[-1].reader) == reader_key(decisions[0].reader):
            return []
        return settle(read_lesions(decisions), self.adjudications(image_id), spacing_of(decisions))

    def settled_blind(self, image_id: str) -> list[Settled]:
        """As settled, of what readers and adjudicators decided before any of them may have seen a model's answer.

        Whatever they said afterwards changes nothing here: what a model is tested on must not depend on its answer.
        """
        decisions = usable(self.latest(image_id, blind=True))
        adjudications = [one for one in self.adjudications(image_id) if one.saw_model is False]
        return settle(read_lesions(decisions), adjudications, spacing_of(decisions))

    def adjudicate(
        self,
        image_id: str,
        lesion_id: str,
        label: str,
        by: str,
        reason: str,
        classes: ClassList,
        saw_model: bool | None,
        proof: str = "",
        replaces: str = "",
    ) -> Settled:
        """Decide over a lesion on which readers differ, and keep that for ever. Returns the lesion with what counts now.

        lesion_id: of the lesion as any of its readers saved it last. label: a class, "other" or "no lesion". proof: what the
        decision rests on; "consensus", or what proved that class to a reader, if left out. replaces: the id of the adjudication
        that stands and is to be taken the place of.

        Raises NotFoundError for an unknown image or lesion, InputError where nobody or one of its readers decides, without a
        reason, for an unknown class or proof, where readers do not differ, and where another adjudication stands.
        """
        by, reason = by.strip(), reason.strip()
        if reader_key(by) in NOBODY:
            raise InputError("An adjudication needs the name of who decides, as 'by'.")
        if not reason:
            raise InputError("An adjudication needs a reason: what shows that it is so?")
        label = adjudicated_label(label, classes)
        with self._lock:
            settled = next((one for one in self.settled(image_id) if one.read.has(lesion_id)), None)
            if settled is None:
                raise NotFoundError(
                    f"No lesion {lesion_id!r} in the readers' present decisions on the image {image_id!r}. "
                    "A reader who saves again gives new ids: GET /api/v1/disagreements lists them."
                )
            _require_open_to(settled, by, replaces.strip())
            now = datetime.now(UTC)
            kept = Adjudication(
                id=stamp_of(now),
                image=image_id,
                label=label,
                by=by[:128],
                reason=reason[:2000],
                at=now.isoformat(timespec="seconds"),
                saw_model=saw_model,
                proof=parse_proof(proof) if proof.strip() else _proof_of(settled, label),
                words=tuple(
                    Word(s.reader, s.label, s.proof, None if s.lesion is None else s.lesion.lesion_id)
                    for s in settled.read.stances
                ),
                place=settled.read.marked[-1],
                replaces=replaces.strip() or None,
            )
            self._adjudications.keep(kept)
            return next(one for one in self.settled(image_id) if one.read.has(lesion_id))

    def _saved(self, image_id: str) -> _Saved:
        stamps = self._history.label_stamps(FINAL, image_id)
        known = self._known.get(image_id)
        if known is None or known.stamps != stamps:
            known = self._known[image_id] = _saved(stamps, self._versions(image_id))
        return known

    def _versions(self, image_id: str) -> list[Version]:
        try:
            return self._history.labels(FINAL, image_id)
        except (OSError, ValueError, KeyError) as error:
            raise IntegrityError(
                f"A kept version of the label of the image {image_id} is damaged ({type(error).__name__}). "
                "Put labels/history back from a backup of the studies folder."
            ) from error


@dataclass(frozen=True)
class _Saved:
    """Info of the accepted labels since the last removal, oldest first, and that removal's stamp ("" if there was none)."""

    stamps: tuple[str, ...]
    infos: list[dict[str, Any]]
    removed: str


def _saved(stamps: tuple[str, ...], versions: list[Version]) -> _Saved:
    infos: list[dict[str, Any]] = []
    removed = ""
    for version in versions:
        if version.event in REMOVED:
            infos, removed = [], version.folder.name
        elif version.file is not None and version.event != REFUSED:
            infos.append(version.info)
    return _Saved(stamps, infos, removed)


def _latest(decisions: list[Decision]) -> list[Decision]:
    newest: dict[str, Decision] = {}
    for decision in decisions:
        key = reader_key(decision.reader)
        before = newest.get(key)
        if before is None or not usable([before]) or usable([decision]):
            newest.pop(key, None)
            newest[key] = decision
    return list(newest.values())


def _decision(info: dict[str, Any]) -> Decision:
    """What the info of a curated label says. Raises InputError where a lesion in it is not complete."""
    records = info["lesions"]
    spacing = next((record["spacing_mm"] for record in records if "spacing_mm" in record), None)
    return Decision(
        reader=str(info.get("reader", UNKNOWN_READER)),
        saved_at=str(info.get("curated_at", "")),
        proof=parse_proof(str(info.get("proof", Proof.SINGLE_READER))),
        saw_model=info.get("saw_model"),
        lesions=tuple(Lesion.from_json(record) for record in records),
        spacing=None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        problem=info.get("curation_problem"),
        questions=len(info.get("questions", [])),
        not_curated=tuple(str(entry.get("name")) for entry in info.get("not_curated", [])),
    )


def adjudicated_label(label: str, classes: ClassList) -> str:
    """A class's name, "other" or "no lesion". Raises UnknownClassError for any other word."""
    word = " ".join(label.split()).casefold()
    if word == NO_LESION:
        return NO_LESION
    try:
        return class_or_other(label, classes)
    except UnknownClassError:
        raise UnknownClassError(f"Unknown class {label!r}. Allowed: {', '.join(classes.names)}, {OTHER}, {NO_LESION}.") from None


def _require_open_to(settled: Settled, by: str, replaces: str) -> None:
    """Raises InputError unless that person may decide over the lesion now."""
    if settled.agreement in (Agreement.ONE_READER, Agreement.AGREED):
        lesion = settled.lesion or settled.read.marked[-1]
        raise InputError(
            f"There is nothing to decide: {settled.readers} reader(s), and all say {lesion.label}. "
            "Another opinion is a reading: save a final label."
        )
    if reader_key(by) in {reader_key(stance.reader) for stance in settled.read.stances}:
        raise InputError(
            f"{by} is one of the lesion's readers, and an adjudicator is another person. Where the readers came to agree, those "
            "who changed their mind save their label again."
        )
    stands = settled.adjudication if settled.agreement is Agreement.ADJUDICATED else None
    if stands is not None and replaces != stands.id:
        raise InputError(
            f"{stands.by} decided it at {stands.at}: {stands.label}. To decide otherwise, name that adjudication: "
            f"replaces = {stands.id}. Both are kept."
        )
    if stands is None and replaces:
        raise InputError(f"No adjudication {replaces!r} stands for this lesion. Leave 'replaces' out.")


def _proof_of(settled: Settled, label: str) -> Proof:
    """What proved that class to one of the readers, or consensus, whichever is stronger."""
    proofs = [Proof.CONSENSUS, *(stance.proof for stance in settled.read.stances if stance.label == label)]
    return min(proofs, key=PROOFS.index)
