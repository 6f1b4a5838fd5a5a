"""The module's window in 3D Slicer. What it does is in LesionLabelLib; here is only what needs Qt and Slicer."""

# Qt and the application are there only within 3D Slicer.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from LesionLabelLib.case import PROOFS
from LesionLabelLib.client import Client
from LesionLabelLib.controls import Controls
from LesionLabelLib.errors import ReaderError
from LesionLabelLib.outbox import Outbox
from LesionLabelLib.pages import answer_page, similar_page
from LesionLabelLib.panel import panel_of
from LesionLabelLib.placing import Placing
from LesionLabelLib.scene import HEAT_OPACITY, CaseScene
from LesionLabelLib.session import Session
from LesionLabelLib.worker import Worker

#: Milliseconds between two looks at whether the server has answered.
LOOK_EVERY_MS = 100
SETTINGS = {"serverEdit": "LesionLabel/server", "readerEdit": "LesionLabel/reader", "caEdit": "LesionLabel/certificates"}

#: Button -> method.
SLOTS = {
    "connectButton": "on_connect", "nextButton": "on_next", "openButton": "on_open", "syntheticButton": "on_synthetic",
    "clickButton": "on_click", "insideButton": "on_inside", "outsideButton": "on_outside", "measureButton": "on_measure",
    "drawButton": "on_draw", "correctButton": "on_correct", "removeButton": "on_remove", "ownFirstCheck": "on_options",
    "overrideCheck": "on_options", "decideButton": "on_decide", "revealButton": "on_reveal", "heatCheck": "on_heat",
    "similarButton": "on_similar", "submitButton": "on_submit", "sendAgainButton": "on_send_again",
}  # fmt: skip


class LesionLabel(ScriptedLoadableModule):
    """What 3D Slicer shows of the module in its lists."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "LesionLabel"
        self.parent.categories = ["Active Learning"]
        self.parent.dependencies = ["Segmentations", "Markups", "SegmentEditor"]
        self.parent.contributors = ["LesionLabel contributors"]
        self.parent.helpText = (
            "Focal liver lesions on CT with a LesionLabel server: mark them, say what you take them for, see the model's types, "
            "correct, submit. Research software, not for clinical use."
        )


def told(method):
    """What a reader can mend is a sentence in a dialog."""

    @functools.wraps(method)
    def guarded(self, *args):
        try:
            return method(self)
        except ReaderError as error:
            self.fail(str(error))

    return guarded


class LesionLabelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.session, self.scene = None, None
        self.outbox = Outbox(Path(slicer.app.slicerUserSettingsFilePath).parent / "LesionLabel")
        logic = slicer.app.applicationLogic()
        nodes = (slicer.mrmlScene, logic.GetSelectionNode(), logic.GetInteractionNode())
        self.placing = Placing(slicer, *nodes, later=lambda finish: qt.QTimer.singleShot(0, finish))
        self.worker = Worker(before=self.placing.stop)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/LesionLabel.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        for name, key in SETTINGS.items():
            getattr(self.ui, name).text = slicer.util.settingsValue(key, "")
        self.controls = Controls(self.ui, qt.QTableWidgetItem)
        self.controls.fill("proofCombo", PROOFS.values(), current=list(PROOFS).index("single reader"))
        for name, slot in SLOTS.items():
            getattr(self.ui, name).connect("clicked()", getattr(self, slot))
        self.ui.proofCombo.connect("currentIndexChanged(int)", self.on_options)
        self.ui.typeCombo.connect("currentIndexChanged(int)", self.on_type)
        self.ui.lesionTable.connect("itemSelectionChanged()", self.on_selected)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.on_scene_closed)
        self.timer = qt.QTimer()
        self.timer.setInterval(LOOK_EVERY_MS)
        self.timer.connect("timeout()", self.worker.poll)
        self.timer.start()
        self.refresh()

    def cleanup(self):
        self.timer.stop()
        self.removeObservers()

    # The window as the session is

    def refresh(self):
        kept = self.outbox.waiting(), self.outbox.damaged()
        self.controls.show(panel_of(self.session, self.worker.is_busy, self.controls.selected, *kept))

    def choose(self, number):
        self.refresh()
        self.controls.select(number)
        self.on_selected()

    def say(self, sentences):
        self.ui.messageLabel.text = "\n".join(sentences)

    def fail(self, sentence):
        self.refresh()
        self.say([sentence])
        slicer.util.errorDisplay(sentence, windowTitle="LesionLabel")

    def work(self, work, done):
        """Let the server work without the window waiting; done is told what came."""

        def ended(result):
            try:
                done(result)
            except ReaderError as error:
                self.fail(str(error))
            finally:
                self.refresh()

        self.worker.start(work, ended, self.fail)
        self.refresh()

    def regions(self):
        """What the lesions' segments hold now."""
        return {number: self.scene.region(number) for number in self.session.lesions} if self.scene is not None else {}

    # Server and case

    @told
    def on_connect(self):
        for name, key in SETTINGS.items():
            qt.QSettings().setValue(key, getattr(self.ui, name).text)
        if not self.may_leave():
            return
        client = Client(self.ui.serverEdit.text, self.ui.readerEdit.text, self.ui.caEdit.text)
        own_first = self.ui.ownFirstCheck.checked
        self.work(lambda: Session(client, self.outbox, own_type_first=own_first), self.connected)

    def connected(self, session):
        self.leave()
        self.session = session
        self.controls.fill("strategyCombo", session.offers.strategies)
        self.controls.fill("syntheticCombo", session.offers.synthetic)
        self.controls.fill("typeCombo", session.types, current=-1)
        self.on_options()
        self.say([f"Connected to {session.client.url}."])

    @told
    def on_next(self):
        self.fetch_next(self.ui.strategyCombo.currentText)

    @told
    def on_open(self):
        image = self.ui.caseEdit.text.strip()
        self.fetch(lambda folder: self.session.open_case(image, folder))

    @told
    def on_synthetic(self):
        self.fetch_next(self.ui.syntheticCombo.currentText)

    def fetch_next(self, strategy):
        self.fetch(lambda folder: self.session.next_case(strategy, folder))

    def fetch(self, bring):
        if not self.may_leave():
            return
        folder = Path(tempfile.mkdtemp(prefix="lesionlabel-", dir=slicer.app.temporaryPath))

        def bring_and_tidy():
            try:
                return bring(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

        self.work(bring_and_tidy, lambda case: self.opened(case, folder))

    def opened(self, case, folder):
        """Load the image, and leave no copy of it on the disk."""
        try:
            if case is None:
                self.say(["There is no case left for this strategy."])
                return
            self.clear_scene()
            try:
                volume = slicer.util.loadVolume(str(case.file), {"name": case.title, "singleFile": True})
            except RuntimeError:
                self.session.close()
                raise ReaderError("3D Slicer could not load the image that the server sent. Take another case.") from None
            self.scene = CaseScene(slicer, slicer.mrmlScene, volume, case.title, case.synthetic is not None)
            case.geometry = self.scene.geometry
            self.say([case.title])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def may_leave(self):
        """Whether the open case can be closed: nothing is lost, or the reader says so."""
        self.placing.stop()
        if self.session is None or self.scene is None or not self.session.is_unsaved(self.regions()):
            return True
        return slicer.util.confirmYesNoDisplay("What you marked in this case was not sent. Close the case without it?")

    def leave(self):
        if self.session is not None:
            self.session.close()
        self.clear_scene()

    def clear_scene(self):
        self.placing.stop()
        if self.scene is not None:
            self.scene.close()
        self.scene = None
        self.ui.heatCheck.checked = False
        self.ui.answerView.setHtml("")
        self.ui.similarView.setHtml("")

    def on_scene_closed(self, caller=None, event=None):
        self.scene = None
        if self.session is not None:
            self.session.close()
        self.refresh()

    # Lesions

    @told
    def on_click(self):
        self.place("vtkMRMLMarkupsFiducialNode", 1, lambda at: self.outline(None, at[0]))

    @told
    def on_inside(self):
        lesion = self.session.lesions[self.controls.selected]
        self.place("vtkMRMLMarkupsFiducialNode", 1, lambda at: self.outline(lesion, at[0]))

    @told
    def on_outside(self):
        lesion = self.session.lesions[self.controls.selected]
        self.place("vtkMRMLMarkupsFiducialNode", 1, lambda at: self.outline(lesion, at[0], inside=False))

    def outline(self, lesion, point, inside=True):
        """lesion: None for a new one, which is marked once its outline is there."""
        whole, session = self.ui.wholeCheck.checked, self.session
        number = None if lesion is None else lesion.number

        def show(found):
            region, said = found
            shown = session.mark("click", point) if lesion is None else lesion
            self.scene.show(shown.number, self.segment_name(shown), region)
            self.choose(shown.number)
            self.say(said)

        self.work(lambda: session.outline(number, point, inside=inside, whole=whole), show)

    @told
    def on_measure(self):
        def measured(points):
            region = self.session.measure(points[0], points[1])
            lesion = self.session.mark("measurement")
            self.scene.show(lesion.number, self.segment_name(lesion), region)
            self.choose(lesion.number)

        self.place("vtkMRMLMarkupsLineNode", 2, measured)

    @told
    def on_draw(self):
        lesion = self.session.mark("drawn")
        self.scene.add_empty(lesion.number, self.segment_name(lesion))
        self.choose(lesion.number)
        self.edit(lesion.number)

    @told
    def on_correct(self):
        self.edit(self.controls.selected)

    def edit(self, number):
        """Open Segment Editor on the lesion's segment."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(self.scene.segmentation)
        editor.setSourceVolumeNode(self.scene.volume)
        editor.setCurrentSegmentID(self.scene.segment_id(number))

    @told
    def on_remove(self):
        self.placing.stop()
        number = self.controls.selected
        self.session.remove(number)
        self.scene.remove(number)
        self.refresh()

    @staticmethod
    def segment_name(lesion):
        return f"{lesion.number}: {lesion.final_type or 'no type yet'}"

    def on_selected(self):
        if self.controls.is_filling or self.session is None:
            return
        lesion = self.session.lesions.get(self.controls.selected)
        page = answer_page(lesion.number, lesion.own_type, lesion.answer) if lesion is not None and lesion.answer else ""
        self.ui.answerView.setHtml(page)
        self.ui.similarView.setHtml("")
        self.hide_heat()
        self.refresh()

    def on_type(self, *_):
        if self.controls.is_filling or self.session is None or self.session.lesions.get(self.controls.selected) is None:
            return
        number = self.controls.selected
        self.session.set_type(number, self.ui.typeCombo.currentText)
        self.scene.rename(number, self.segment_name(self.session.lesions[number]))
        self.refresh()

    def on_options(self, *_):
        if self.session is None:
            return
        self.session.own_type_first = self.ui.ownFirstCheck.checked
        self.session.override_phase = self.ui.overrideCheck.checked
        self.session.set_proof(list(PROOFS)[self.ui.proofCombo.currentIndex])
        self.refresh()

    def place(self, kind, wanted, use):
        """Let the reader set points in a view, then use their places in the volume (RAS, mm)."""

        def placed(positions):
            try:
                use([self.scene.place(position) for position in positions])
            except ReaderError as error:
                self.fail(str(error))

        self.placing.start(kind, wanted, placed)

    # The model, and submitting

    @told
    def on_decide(self):
        regions = self.regions()
        self.work(lambda: self.session.decide(regions), lambda outcome: self.say(outcome.sentences))

    @told
    def on_reveal(self):
        regions = self.regions()
        self.work(lambda: self.session.reveal(regions), lambda answers: self.choose(next(iter(answers))))

    @told
    def on_heat(self):
        number = self.controls.selected
        if not self.ui.heatCheck.checked:
            self.hide_heat()
            return

        def show(found):
            node = self.scene.show_heat_map(*found)
            slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=HEAT_OPACITY)
            self.ui.heatCheck.checked = True

        self.ui.heatCheck.checked = False
        self.work(lambda: self.session.heat_map(number), show)

    def hide_heat(self):
        self.ui.heatCheck.checked = False
        if self.scene is not None:
            self.scene.hide_heat_map()

    @told
    def on_similar(self):
        number = self.controls.selected
        self.work(lambda: self.session.similar(number), lambda found: self.ui.similarView.setHtml(similar_page(found)))

    @told
    def on_submit(self):
        regions = self.regions()
        self.work(lambda: self.session.submit(regions), lambda outcome: self.say(outcome.sentences))

    @told
    def on_send_again(self):
        self.work(self.session.send_again, self.say)
