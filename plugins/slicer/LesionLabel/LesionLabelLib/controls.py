"""The window's controls, which are passed in: what they show, and which lesion is chosen in the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from .panel import Panel


class Controls:
    """ui: the controls of LesionLabel.ui by name. new_cell: makes a table's cell from a text."""

    def __init__(self, ui: Any, new_cell: Callable[[str], Any]) -> None:
        self._ui, self._new_cell = ui, new_cell
        #: Whether it is the module that changes the controls now, and not the reader.
        self.is_filling = False

    def show(self, panel: Panel) -> None:
        """Copy what the panel says."""
        for name, on in panel.enabled.items():
            getattr(self._ui, name).enabled = on
        for name, text in panel.texts.items():
            getattr(self._ui, name).text = text
        chosen, final_type = self.selected, ""
        self.is_filling = True
        table = self._ui.lesionTable
        table.rowCount = len(panel.rows)
        for row, lesion in enumerate(panel.rows):
            for column, text in enumerate((str(lesion.number), lesion.own_type, lesion.final_type, lesion.model, lesion.how)):
                table.setItem(row, column, self._new_cell(text))
            if lesion.number == chosen:
                final_type = lesion.final_type
                table.selectRow(row)
        self._ui.typeCombo.setCurrentIndex(self._ui.typeCombo.findText(final_type) if final_type else -1)
        self.is_filling = False

    @property
    def selected(self) -> Any:
        """The number of the lesion that is chosen in the table, None where none is."""
        row = self._ui.lesionTable.currentRow()
        cell = self._ui.lesionTable.item(row, 0) if row >= 0 else None
        return int(cell.text()) if cell is not None else None

    def select(self, number: int) -> None:
        """Choose a lesion, as the reader does by a click in the table."""
        table = self._ui.lesionTable
        self.is_filling = True
        for row in range(table.rowCount):
            if table.item(row, 0).text() == str(number):
                table.selectRow(row)
        self.is_filling = False

    def fill(self, name: str, items: Iterable[str], current: int = 0) -> None:
        """Put other choices into a combo box."""
        self.is_filling = True
        combo = getattr(self._ui, name)
        combo.clear()
        combo.addItems(list(items))
        combo.setCurrentIndex(current)
        self.is_filling = False
