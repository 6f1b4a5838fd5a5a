"""Points that a reader sets in a view for one purpose, and which then go away: a click, or the two ends of a diameter."""

from __future__ import annotations

from typing import Any, Callable

Position = list[float]


class Placing:
    """One at a time. slicer: the module that holds the node classes. selection, interaction: the application's nodes for placing.

    later: calls a function once the event that is being handled is over; a node must not go within its own.
    """

    def __init__(
        self, slicer: Any, scene: Any, selection: Any, interaction: Any, later: Callable[[Callable[[], None]], Any]
    ) -> None:
        self._slicer, self._scene = slicer, scene
        self._selection, self._interaction, self._later = selection, interaction, later
        self._node: Any = None
        self._tag = 0

    def start(self, kind: str, wanted: int, use: Callable[[list[Position]], Any]) -> Any:
        """Let the reader set points in a new node of that class. use: told their positions, RAS in mm, once all are set."""
        self.stop()
        node = self._node = self._scene.AddNewNodeByClass(kind, "LesionLabel")

        def finish() -> None:
            if self._node is not node:
                return
            positions = [[0.0, 0.0, 0.0] for _ in range(wanted)]
            for number, position in enumerate(positions):
                node.GetNthControlPointPositionWorld(number, position)
            self.stop()
            use(positions)

        def look(*_: Any) -> None:
            if node.GetNumberOfDefinedControlPoints() >= wanted:
                self._later(finish)

        self._tag = node.AddObserver(self._slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, look)
        self._selection.SetReferenceActivePlaceNodeClassName(kind)
        self._selection.SetActivePlaceNodeID(node.GetID())
        self._interaction.SetPlaceModePersistence(0)
        self._interaction.SetCurrentInteractionMode(self._interaction.Place)
        return node

    def stop(self) -> None:
        """Take the points away, whether all were set or not."""
        node, self._node = self._node, None
        if node is None:
            return
        node.RemoveObserver(self._tag)
        self._interaction.SetCurrentInteractionMode(self._interaction.ViewTransform)
        for number in range(node.GetNumberOfDisplayNodes()):
            self._scene.RemoveNode(node.GetNthDisplayNode(number))
        self._scene.RemoveNode(node)
