"""Starting the server: a private app folder, safe MONAI Label settings, logs without patients, and the stock launcher."""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import os
import socket
from importlib import resources
from pathlib import Path

from lesionlabel.imaging.dicomweb import is_dicomweb
from lesionlabel.jobs.supervisor import Supervisor
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings

#: MONAI Label's settings that its own documentation of traps calls for: nothing is tracked, scored, watched or fetched.
SAFE_HOST_SETTINGS = {
    "MONAI_LABEL_TRACKING_ENABLED": "false",
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    "MONAI_LABEL_DATASTORE_AUTO_RELOAD": "false",
    "MONAI_LABEL_INFER_CONCURRENCY": "-1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to host."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_free_port(host: str, port: int) -> None:
    """Raise InputError when another program listens on the port; what else is wrong with an address the launcher says."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        # As the server does: a port whose last connections are only just closed is free.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                other = port + 1 if port < 65535 else 8000
                raise InputError(f"Port {port} is taken by another program. Use --port, such as --port {other}.") from None


def write_app_folder(home: Path) -> Path:
    """The folder MONAI Label runs, under home: main.py from the package, and a logging configuration.

    The launcher writes into its app folder, and an installed package may be read-only.
    """
    folder = home / "app"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "main.py", (resources.files("lesionlabel.app") / "main.py").read_bytes())
    write_atomically(folder / "logging.json", json.dumps(logging_config(folder / "logs" / "app.log"), indent=1).encode())
    return folder


def logging_config(log_file: Path) -> dict:
    """MONAI Label's logging with one file and one console, and its own INFO lines, which hold ids and requests, left out."""
    handlers = {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "formatter": "line",
            "filename": str(log_file),
            "maxBytes": 10_000_000,
            "backupCount": 10,
            "encoding": "utf-8",
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "[%(asctime)s] [%(levelname)s] (%(name)s) %(message)s"}},
        "handlers": handlers,
        "root": {"level": "WARNING", "handlers": list(handlers)},
        "loggers": {
            "lesionlabel": {"level": "INFO"},
            "uvicorn": {"level": "INFO"},
            "uvicorn.access": {"level": "WARNING"},
            "timeloop": {"level": "WARNING"},
        },
    }


def set_host_environment(settings: Settings) -> None:
    """MONAI Label's settings. It reads them where it is first imported, so this comes before whatever imports it."""
    os.environ.update(SAFE_HOST_SETTINGS)
    os.environ["MONAI_LABEL_SESSION_PATH"] = str(settings.home.resolve() / "sessions")


def serve(settings: Settings, studies: str, host: str, port: int, *, with_worker: bool = True) -> None:
    """Run the server in this process until it is stopped, and with it a worker in another. studies: a folder or a PACS.

    set_host_environment comes first.
    """
    home = settings.home.resolve()
    app_folder = write_app_folder(home)
    os.environ["LESIONLABEL_HOME"] = str(home)
    if settings.class_file is not None:
        os.environ["LESIONLABEL_CLASS_FILE"] = str(settings.class_file.resolve())
    if settings.dicomweb_ca_file is not None:
        os.environ["LESIONLABEL_DICOMWEB_CA_FILE"] = str(settings.dicomweb_ca_file.resolve())
    studies = studies if is_dicomweb(studies) else str(Path(studies).resolve())
    # MONAI Label reads a .env file of the folder it starts in, with whatever it says.
    os.chdir(app_folder)
    from monailabel.main import Main

    launcher = Main(loglevel=logging.WARNING)
    logging.getLogger("monailabel").setLevel(logging.WARNING)
    arguments = ["start_server", "--app", str(app_folder), "--studies", studies, "--host", host, "--port", str(port)]
    arguments += ["--uvicorn_app", "lesionlabel.server.asgi:app", "--log_config", str(app_folder / "logging.json")]
    arguments += ["--verbose", "WARNING"]
    supervisor = Supervisor(app_folder / "logs" / "worker.log") if with_worker else None
    if supervisor is not None:
        supervisor.start()
    try:
        launcher.action_start_server(launcher.args_parser().parse_args(arguments))
    finally:
        if supervisor is not None:
            supervisor.stop()
