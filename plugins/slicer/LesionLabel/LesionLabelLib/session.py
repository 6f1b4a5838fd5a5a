"""A reader's way through a case: mark, say one's own type, send it, see the model's, correct, submit.

The own type is saved on the server as a final label before the model is asked. The server knows by itself whom it has answered
about which image, so whether a decision was blind is its knowledge, and no claim of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from . import nrrd
from .answer import Answer
from .case import NO_PATIENTS, OTHER, PROOFS, Case, Decision, MarkedLesion, Outcome, is_synthetic
from .client import Client
from .errors import NotKeptError, ReaderError, ServerError, StepError
from .geometry import Geometry, geometry_of_file
from .offers import Offers
from .outbox import Outbox
from .outcome import outcome_of
from .segmentation import Region, disc, label_info, labelmap, moved, region_of

CHECK = "The outline is the computer's: check it."
KEPT = "Your decision is kept on this computer: 'Send again' sends it."


class Stage(Enum):
    """How far the reader is with the case."""

    NO_CASE = "no case is open"
    READING = "mark every lesion and say what you take it for"
    DECIDED = "your own types are on the server"
    REVEALED = "the model's answers are there"
    SUBMITTED = "submitted"


class Session:
    """One reader at one server. Its methods block while the server works: call them from a thread, one at a time."""

    def __init__(self, client: Client, outbox: Outbox, own_type_first: bool = True) -> None:
        if not client.client_id:
            raise StepError("Give the name under which your readings are kept, before connecting.")
        self.client, self.outbox = client, outbox
        self.own_type_first = own_type_first
        self.proof, self.override_phase = "single reader", False
        self.offers = Offers.of(client.info())
        self.case: Case | None = None
        self.stage = Stage.NO_CASE
        self.lesions: dict[int, MarkedLesion] = {}
        self._last_number = 0
        self._kept: Decision | None = None
        self._on_server: Decision | None = None
        self._blind: Outcome | None = None
        self._saw_model = False

    @property
    def types(self) -> list[str]:
        """What a reader can choose for a lesion."""
        return [*self.offers.classes, OTHER]

    def next_case(self, strategy: str, folder: Path) -> Case | None:
        """Open what a strategy offers; None where there is nothing left. Close the case before first.

        Synthetic examples come the same way, from the strategies synthesise_<class>. folder: an empty one for the image.
        """
        sample = self.client.next_sample(strategy)
        if "id" not in sample:
            return None
        return self.open_case(str(sample["id"]), folder, {**sample, "synthetic": sample.get("synthetic") or _asked_for(strategy)})

    def open_case(self, image: str, folder: Path, info: Mapping[str, Any] | None = None) -> Case:
        """Open a volume by its id; the case before stays where this fails. Set its geometry once it is loaded."""
        known = {**self.client.image_info(image), **{key: value for key, value in (info or {}).items() if value}}
        file = self.client.download_image(image, folder)
        grid = geometry_of_file(file)
        self.close()
        self.case = Case(image, file, grid, known, NO_PATIENTS if is_synthetic(image, known) else None)
        self.stage = Stage.READING
        return self.case

    def close(self) -> None:
        """Forget the case; what was not sent is gone, so ask is_unsaved first."""
        self.case, self.stage, self.lesions = None, Stage.NO_CASE, {}
        self._last_number, self._kept, self._on_server, self._blind, self._saw_model = 0, None, None, None, False

    def mark(self, how: str, click: Sequence[float] | None = None) -> MarkedLesion:
        """A new lesion of the case. click: RAS, mm, whose outline is there. Raises StepError where there is no patient's case."""
        case, _ = self._patients_case()
        self._last_number += 1
        lesion = self.lesions[self._last_number] = MarkedLesion(self._last_number, how)
        if click is not None:
            lesion.inside = [case.grid.voxel_of_ras(click)]
        return lesion

    def remove(self, number: int) -> None:
        self.lesions.pop(number, None)

    def outline(
        self, number: int | None, click: Sequence[float], *, inside: bool = True, whole: bool = False
    ) -> tuple[Region, list[str]]:
        """The lesion's outline by the server's segmenter from this click (RAS, mm) and those before, and what to tell the reader.

        number: None for a new lesion, which is marked with the click once its outline is there: what the window lists changes
        in the window's thread only. Raises ReaderError, and then the click is not counted: what was clicked is no lesion, or two
        clicks are of two lesions.
        """
        case, geometry = self._patients_case()
        lesion = MarkedLesion(0, "click") if number is None else self.lesions[number]
        at = case.grid.voxel_of_ras(click)
        clicks = ([*lesion.inside, at], lesion.outside) if inside else (lesion.inside, [*lesion.outside, at])
        params = {"foreground": clicks[0], "background": clicks[1], "whole": whole, "with_type": False}
        content, said = self.client.infer_mask("lesion", case.image, params)
        if said.get("answered"):
            raise ServerError(502, "The server sent a type together with the outline, which was not asked for. It is not shown.")
        if int(said.get("lesions_outlined", 1)) > 1:
            raise StepError("The clicks lie in separate lesions. Mark each of them as a lesion of its own.")
        voxels, place = nrrd.read(content)
        region = moved(region_of(voxels), place, geometry)
        lesion.inside, lesion.outside = clicks
        return region, _about_outline(said)

    def measure(self, first: Sequence[float], second: Sequence[float]) -> Region:
        """The disc between two points (RAS, mm) of one slice. Raises StepError."""
        _, geometry = self._patients_case()
        return disc(geometry, geometry.voxel_of_ras(first), geometry.voxel_of_ras(second))

    def set_type(self, number: int, label: str) -> None:
        """The reader's type of a lesion: their own until the model's is there, then a correction."""
        if label and label not in self.types:
            raise StepError(f"{label!r} is none of the types. Choose one of: {', '.join(self.types)}.")
        lesion = self.lesions[number]
        lesion.final_type = label
        if lesion.answer is None:
            lesion.own_type = label

    def set_proof(self, proof: str) -> None:
        if proof not in PROOFS:
            raise StepError(f"{proof!r} is no proof. Choose one of: {', '.join(PROOFS)}.")
        self.proof = proof

    def decide(self, regions: Mapping[int, Region]) -> Outcome:
        """Save the reader's own types on the server, before the model is asked.

        On a ReaderError of sending they wait in the outbox; on a NotKeptError they are neither there nor on the server.
        """
        if self._saw_model:
            raise StepError("The model's answers were shown already: what you decide now is a correction. Submit it.")
        outcome = self._send(self._decision(regions), {})
        self.stage, self._blind = Stage.DECIDED, outcome
        return outcome

    def reveal(self, regions: Mapping[int, Region]) -> dict[int, Answer]:
        """The model's answer about every lesion, as it is outlined now. Raises ReaderError.

        With own_type_first, only once the server has the reader's own types of these outlines.
        """
        case, geometry = self._patients_case()
        decision = self._decision(regions, typed=self.own_type_first)
        if self.own_type_first and not self._saw_model and not decision.is_same(self._on_server):
            raise StepError("Your own types of these outlines are not on the server yet. Send them first, then see the model's.")
        params = {"override_phase": self.override_phase}
        answers = {}
        for number, region in decision.regions.items():
            alone = nrrd.write(region.mask, region.place(geometry))
            answers[number] = Answer(self.client.infer("lesion_classifier", case.image, params, alone), params, alone)
            self.lesions[number].answer = answers[number]
            self.stage, self._saw_model = Stage.REVEALED, True
        return answers

    def submit(self, regions: Mapping[int, Region]) -> Outcome:
        """Save the reader's decision. One that is on the server already is not saved again: it stays the blind one that it is."""
        decision = self._decision(regions)
        if decision.is_same(self._on_server):
            outcome = Outcome(False, self._blind and self._blind.saw_model, ["Nothing was changed: what you sent before stands."])
        else:
            outcome = self._send(decision, {"saw_model": True} if self._saw_model else {})
        self.stage = Stage.SUBMITTED
        return outcome

    def is_unsaved(self, regions: Mapping[int, Region]) -> bool:
        """Whether something was marked or changed that is neither on the server nor in the outbox."""
        if not self.lesions:
            return False
        return not Decision(dict(regions), self._types(), self.proof).is_same(self._kept)

    def heat_map(self, number: int) -> tuple[np.ndarray[Any, Any], Geometry]:
        """What the model reacted to in the lesion it answered about: no evidence. Only after the answer. Raises ReaderError."""
        case, answer = self._answered(number)
        label = {"class": answer.probabilities[0][0]} if answer.probabilities else {}
        voxels, place = nrrd.read(self.client.heat_map(case.image, {**answer.params, **label}, answer.label))
        return np.asarray(voxels, dtype=np.float32), place

    def similar(self, number: int) -> dict[str, Any]:
        """Curated lesions of other patients that look alike. Only after the answer. Raises ReaderError."""
        case, answer = self._answered(number)
        return self.client.similar(case.image, answer.params, answer.label)

    def send_again(self) -> list[str]:
        """Send what waits for this server and reader. Returns what became of it, in sentences."""
        delivered, failed = self.outbox.send_again(self.client)
        damaged = [f"The decision kept in {folder} cannot be read, so it was not sent." for folder in self.outbox.damaged()]
        return [f"{len(delivered)} decision(s) delivered.", *(f"{one.image}: {reason}" for one, reason in failed), *damaged]

    def _answered(self, number: int) -> tuple[Case, Answer]:
        case, _ = self._patients_case()
        lesion = self.lesions.get(number)
        if lesion is None or lesion.answer is None:
            raise StepError("See the model's answer about this lesion first: this would tell its type.")
        return case, lesion.answer

    def _patients_case(self) -> tuple[Case, Geometry]:
        """The open case and its grid. Raises StepError where there is none, or where it is no patient's."""
        if self.case is None or self.case.geometry is None:
            raise StepError("No case is open. Take the next case first.")
        if self.case.synthetic is not None:
            raise StepError(self.case.synthetic)
        return self.case, self.case.geometry

    def _types(self) -> dict[int, str]:
        return {number: lesion.final_type for number, lesion in self.lesions.items()}

    def _decision(self, regions: Mapping[int, Region], typed: bool = True) -> Decision:
        """What the reader says now. Raises StepError where it is not complete."""
        self._patients_case()
        if not self.lesions:
            raise StepError("No lesion is marked. Click one, measure one, or draw one.")
        missing = [number for number in self.lesions if number not in regions or regions[number].is_empty]
        if missing:
            raise StepError(f"Lesion {missing[0]} is empty. Outline it, or remove it from the list.")
        untyped = [number for number, lesion in self.lesions.items() if not lesion.final_type]
        if typed and untyped:
            raise StepError(f"Lesion {untyped[0]} has no type yet. Choose one; {OTHER!r} is always possible.")
        return Decision({number: regions[number] for number in self.lesions}, self._types(), self.proof)

    def _send(self, decision: Decision, more: Mapping[str, Any]) -> Outcome:
        case, geometry = self._patients_case()
        label = nrrd.write(labelmap(geometry, decision.regions), geometry)
        params = {"label_info": label_info(list(decision.types.values())), "proof": decision.proof, **more}
        try:
            answer = self.outbox.send(self.client, case.image, label, params)
        except NotKeptError:
            raise
        except ReaderError as error:
            self._kept = decision
            raise type(error)(*_with_status(error), f"{error} {KEPT}") from None
        self._kept = self._on_server = decision
        return outcome_of(answer)


def _about_outline(said: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of an outline whose type was not asked for."""
    phase = said.get("phase") or {}
    notes = [str(note) for note in said.get("reader_notes") or [] if "outline is" in str(note)] or [CHECK]
    return [*notes, str(phase.get("sentence"))] if phase.get("refused") else notes


def _with_status(error: ReaderError) -> list[int]:
    return [error.status] if isinstance(error, ServerError) else []


def _asked_for(strategy: str) -> bool:
    return strategy.startswith("synthesise_")
