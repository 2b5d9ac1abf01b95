"""``swamp datastore setup s3``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.setting_up import set_up

app = new_app()


def _option(name: str, metavar: str, help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar=metavar, help=help_text)
    return option


@command(
    app,
    "s3",
    examples="""
    swamp datastore setup s3 my-bucket --prefix team
    swamp datastore setup s3 my-bucket --endpoint https://s3.example.org:9000 --path-style --region us-east-1
    swamp datastore setup s3 my-bucket --profile work --sse aws:kms --kms-key alias/swamp
    """,
)
def s3(
    session: Session,
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="The bucket; it must exist.")],
    prefix: Annotated[str | None, _option("--prefix", "PREFIX", "Where in the bucket.")] = None,
    endpoint: Annotated[str | None, _option("--endpoint", "URL", "Another S3 service than AWS.")] = None,
    region: Annotated[str | None, _option("--region", "REGION", "Such as eu-central-1.")] = None,
    path_style: Annotated[bool, typer.Option("--path-style", help="Put the bucket in the path, not the host.")] = False,
    profile: Annotated[str | None, _option("--profile", "NAME", "A profile of the AWS configuration.")] = None,
    sse: Annotated[str | None, _option("--sse", "KIND", "AES256, aws:kms or aws:kms:dsse.")] = None,
    kms_key: Annotated[str | None, _option("--kms-key", "KEY", "The key for aws:kms.")] = None,
    storage_class: Annotated[str | None, _option("--storage-class", "CLASS", "Such as STANDARD_IA.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another store named in .swamp.yaml.")] = False,
) -> None:
    """Keep the repo's store in an S3 bucket.

    Proves that the bucket refuses broken preconditions (some services ignore them), and writes .swamp.yaml in the repo.
    Credentials come from the usual AWS configuration and are never written down.
    """
    given = {
        "bucket": bucket,
        "prefix": prefix,
        "endpoint": endpoint,
        "region": region,
        "path_style": path_style or None,
        "profile": profile,
        "sse": sse,
        "kms_key": kms_key,
        "storage_class": storage_class,
    }
    config = {name: value for name, value in given.items() if value is not None}
    set_up(session, f"s3:{json.dumps(config)}", {"type": "s3", "config": config}, force=force)
