import json
import logging
import logging.config
import socket

import pytest

from lesionlabel.lesions.errors import InputError
from lesionlabel.server.launch import is_loopback, logging_config, require_free_port, write_app_folder


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback_addresses_need_no_warning(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_every_other_address_does(host):
    assert not is_loopback(host)


def test_the_app_folder_is_made_from_the_package_and_made_again_when_changed(tmp_path):
    folder = write_app_folder(tmp_path)
    code = (folder / "main.py").read_text()
    assert "class LesionLabelApp(MONAILabelApp)" in code
    (folder / "main.py").write_text("changed")
    assert (write_app_folder(tmp_path) / "main.py").read_text() == code
    json.loads((folder / "logging.json").read_text())


def test_monai_labels_requests_and_ids_stay_out_of_the_log(tmp_path):
    config = logging_config(tmp_path / "app.log")
    config["handlers"].pop("console")
    config["root"]["handlers"] = ["file"]
    before = logging.root.level, list(logging.root.handlers)
    levels = {name: logging.getLogger(name).level for name in config["loggers"]}
    try:
        logging.config.dictConfig(config)
        logging.getLogger("monailabel.endpoints.infer").info("Infer Request: secret-id")
        logging.getLogger("lesionlabel.server").info("a line of ours")
        logging.getLogger("monailabel.x").warning("a warning")
        text = (tmp_path / "app.log").read_text()
    finally:
        for handler in logging.root.handlers:
            handler.close()
        logging.root.setLevel(before[0])
        logging.root.handlers = before[1]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert "secret-id" not in text
    assert "a line of ours" in text
    assert "a warning" in text


def test_a_taken_port_is_told_with_what_to_do_and_a_free_one_is_left_free():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(InputError, match=rf"Port {port} is taken .* --port {port + 1}"):
                require_free_port(host, port)
    for _ in range(2):
        require_free_port("127.0.0.1", port)
