"""Uploads in parts that were never completed."""

from __future__ import annotations

from s3.s3_server import S3Server

from ss3d.store.opening import open_store


def test_an_upload_that_was_killed_is_found_with_its_size_and_goes(
    s3_access: S3Server, s3_address: str
) -> None:
    store = open_store(s3_address)
    prefix = s3_address.removeprefix(f"s3://{s3_access.bucket}/")
    client, bucket = s3_access.client, s3_access.bucket
    for key in (f"{prefix}/pretrains/x", "elsewhere/x"):
        begun = client.create_multipart_upload(Bucket=bucket, Key=key)
        place = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
        client.upload_part(**place, PartNumber=1, Body=b"x" * (5 << 20))
    assert store.leftovers(86_400) == {}
    found = store.leftovers(0)
    assert [name.split()[0] for name in found] == ["pretrains/x"]
    assert list(found.values()) == [5 << 20]
    assert store.leftovers(0, remove=True) == found
    assert store.leftovers(0) == {}
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["elsewhere/x"]
