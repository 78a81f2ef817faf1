"""What a corpus file says about where documents come from."""

from __future__ import annotations

from typing import Annotated, Literal

import pathspec
from pydantic import AfterValidator, Field

from rag_assets.corpus.base import Group, Place

BUCKET = r"[A-Za-z0-9][A-Za-z0-9._-]+"
S3_URL_PATTERN = rf"^s3://{BUCKET}(/[^?#]*)?$"


def _is_glob(pattern: str) -> str:
    try:
        (compiled,) = pathspec.GitIgnoreSpec.from_lines([pattern]).patterns
    except ValueError as error:
        raise ValueError(f"{pattern!r} is not a gitignore pattern") from error
    if compiled.include is None:
        raise ValueError(f"{pattern!r} matches nothing in gitignore syntax")
    return pattern


Glob = Annotated[str, AfterValidator(_is_glob)]


class _Selection(Group):
    include: tuple[Glob, ...] = Field(
        default=("**/*",),
        min_length=1,
        description="Globs of documents to take, relative to the source (gitignore syntax).",
    )
    exclude: tuple[Glob, ...] = Field(
        default=(), description="Globs of documents to leave out, after include (gitignore syntax)."
    )
    prefix: str = Field(
        default="",
        description="Put before each document id; must differ between the sources of a corpus.",
        examples=["handbook/"],
    )


class FolderSource(_Selection):
    """Files below a local folder."""

    type: Literal["folder"] = Field(description="A local folder.")
    path: Place = Field(description="Folder with the documents; relative to the corpus file.")


class S3Source(_Selection):
    """Objects below an S3 prefix."""

    type: Literal["s3"] = Field(description="A prefix in S3 or in a server that speaks its protocol.")
    url: str = Field(
        pattern=S3_URL_PATTERN,
        description="s3://bucket/prefix. Credentials, region and endpoint come from the AWS_… environment.",
    )

    @property
    def bucket(self) -> str:
        """The bucket of the url."""
        return self.url.removeprefix("s3://").partition("/")[0]


class PushSource(Group):
    """Documents that events bring along; they are kept in the store."""

    type: Literal["push"] = Field(description="Documents that webhooks deliver.")
    prefix: str = Field(
        default="",
        description="Document ids that belong here start with it; must differ between the sources of a corpus.",
        examples=["cms/"],
    )


Source = Annotated[FolderSource | S3Source | PushSource, Field(discriminator="type")]
