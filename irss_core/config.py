"""Settings, read once from the environment (``IRSS_*``) at an entry point and handed down as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
PROXY_KEY_HEADER = "x-irss-proxy-key"


class Settings(BaseSettings):
    """Everything an operator may set. Each field's environment variable is ``IRSS_`` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="IRSS_", populate_by_name=True, extra="ignore")

    # Where the app listens. Hugging Face Spaces sets SPACE_ID; app.py then listens on all interfaces.
    host: str | None = Field(default=None, description="Address to listen on; 127.0.0.1, or 0.0.0.0 on Spaces.")
    port: int = Field(default=7860, ge=1, le=65535, validation_alias=AliasChoices("IRSS_PORT", "PORT"))
    space_id: str | None = Field(default=None, validation_alias="SPACE_ID")

    # Models.
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("irss"), description="Where weights are kept."
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("irss"), description="Where jobs and blind votes are kept."
    )
    offline: bool = Field(default=False, description="Never download weights.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(default="auto", description="Precision to run in.")
    memory_limit_mb: int | None = Field(
        default=None, ge=256, description="Working memory of one run; default: by what is free."
    )

    # Limits on what is taken in.
    max_image_pixels: int = Field(default=40_000_000, gt=0, description="Width x height of a still.")
    max_image_side: int = Field(default=16_384, gt=0, description="Longer side of a still.")
    max_image_bytes: int = Field(default=256 * MEBIBYTE, gt=0, description="File size of a still.")
    max_clip_seconds: float = Field(default=600.0, gt=0, description="Length of a clip.")
    max_clip_frames: int = Field(default=36_000, gt=0, description="Frames of a clip.")
    max_clip_bytes: int = Field(default=2048 * MEBIBYTE, gt=0, description="File size of a clip.")
    max_clip_frame_pixels: int = Field(default=3840 * 2160, gt=0, description="Width x height of a clip's frame.")

    # The app.
    large_work_seconds: float = Field(
        default=300.0, gt=0, description="Forecasts above this are offered to the queue instead of started silently."
    )
    temp_max_age_s: int = Field(default=3600, gt=0, description="Visitors' files are deleted after this time.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # Jobs: work that is handed off.
    workers: int = Field(
        default=1, ge=0, le=64, description="Worker processes the app starts; 0: start irss worker yourself."
    )
    public_url: str | None = Field(
        default=None, description="How others reach the app, for the links in mails; default: where it listens."
    )
    max_batch_files: int = Field(default=500, ge=1, le=500, description="Files of one submission.")
    submissions_per_hour: int = Field(default=10, ge=1, description="Submissions an hour from one IP address.")
    submissions_per_day: int = Field(default=20, ge=1, description="Submissions a day of one e-mail address.")
    submissions_in_flight: int = Field(default=5, ge=1, description="Unfinished submissions of one e-mail address.")
    upload_bytes_per_day: int = Field(
        default=20 * 1024 * MEBIBYTE, ge=1, description="Bytes a day that one e-mail address may hand in."
    )
    keep_inputs_days: float = Field(default=7.0, gt=0, description="Inputs are deleted this long after the job.")
    keep_results_days: float = Field(default=30.0, gt=0, description="Results and jobs are deleted after this.")

    # The jobs on AWS. `irss cloud deploy` makes all of this, and tells every part of it in these words.
    backend: Literal["local", "aws"] = Field(default="local", description="Where jobs live: here, or on AWS.")
    aws_table: str | None = Field(default=None, description="DynamoDB table of the jobs.")
    aws_uploads_bucket: str | None = Field(default=None, description="Bucket of what is handed in.")
    aws_processed_bucket: str | None = Field(default=None, description="Bucket of the results.")
    aws_archive_bucket: str | None = Field(default=None, description="Bucket of the originals.")
    aws_intake_topic: str | None = Field(default=None, description="ARN of the topic that submissions go through.")
    aws_intake_queue: str | None = Field(default=None, description="URL of the queue that begins jobs.")
    aws_intake_dlq: str | None = Field(default=None, description="URL of its dead letters.")
    aws_tasks_queue: str | None = Field(default=None, description="URL of the queue of the workers.")
    aws_tasks_dlq: str | None = Field(default=None, description="URL of its dead letters.")
    aws_mail_queue: str | None = Field(default=None, description="URL of the queue of the mails.")
    aws_mail_dlq: str | None = Field(default=None, description="URL of its dead letters.")
    aws_state_machine: str | None = Field(default=None, description="ARN of the state machine.")
    aws_ses_configuration_set: str | None = Field(default=None, description="SES configuration set of the mails.")
    aws_session_secret: str | None = Field(
        default=None, description="ARN of the secret in Secrets Manager that signs sessions."
    )

    # Amazon ECS sets it in a task.
    ecs_agent_uri: str | None = Field(default=None, validation_alias="ECS_AGENT_URI")

    # Mail. Without a server mails become .eml files in a folder of IRSS_DATA_DIR, which the Queue tab shows.
    smtp_host: str | None = Field(default=None, description="Mail server.")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    mail_from: str = Field(default="IRSS <irss@localhost>", description="Sender of the mails.")

    # Who may ask over HTTP.
    oidc_issuer: str | None = Field(default=None, description="OpenID Connect issuer whose users may sign in.")
    oidc_audience: str | None = Field(default=None, description="Audience its tokens must name.")
    oidc_keys_url: str | None = Field(
        default=None, description="Where the issuer's keys are, if its discovery document cannot be read from here."
    )
    cors_origins: tuple[str, ...] = Field(default=(), description="Web origins that may call the API, as JSON.")
    trusted_proxies: int = Field(
        default=0, ge=0, le=8, description="Proxies in front that add to X-Forwarded-For; 0: it is not believed."
    )
    proxy_key: SecretStr | None = Field(
        default=None, description="What the proxies send as X-IRSS-Proxy-Key, where others can go past them."
    )

    def proxies_in_front(self, headers: Mapping[str, str]) -> int:
        """How many proxies of ours a request with these headers came through: none, if it lacks the key they send."""
        if self.proxy_key is None:
            return self.trusted_proxies
        shown = headers.get(PROXY_KEY_HEADER, "").encode("utf-8", "surrogateescape")
        return self.trusted_proxies if compare_digest(shown, self.proxy_key.get_secret_value().encode()) else 0

    @property
    def address(self) -> str:
        """How others reach the app, without a slash at the end."""
        return (self.public_url or self.local_address).rstrip("/")

    @property
    def local_address(self) -> str:
        """How a browser on this machine reaches the app."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen_host, self.listen_host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def listen_host(self) -> str:
        """The address to bind: the one set, else all interfaces on Spaces, else loopback."""
        return self.host or ("0.0.0.0" if self.space_id else "127.0.0.1")  # noqa: S104  a Space is behind a proxy
