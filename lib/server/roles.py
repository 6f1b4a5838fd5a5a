"""Who may use an endpoint: MONAI Label's roles, checked where signing in is switched on."""

from __future__ import annotations

from fastapi import Depends
from monailabel.config import settings as host
from monailabel.endpoints.user.auth import RBAC

USER = Depends(RBAC(host.MONAI_LABEL_AUTH_ROLE_USER))
ANNOTATOR = Depends(RBAC(host.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
REVIEWER = Depends(RBAC(host.MONAI_LABEL_AUTH_ROLE_REVIEWER))
ADMIN = Depends(RBAC(host.MONAI_LABEL_AUTH_ROLE_ADMIN))
