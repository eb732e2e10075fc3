"""Downloads files of the Hugging Face hub; an interrupted download is resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasses.errors import ModelError, Reason

Tick = Callable[[int], None]  # bytes on disk so far


@dataclass(frozen=True, slots=True)
class HfFile:
    """`path` in the Hugging Face repository `repo` at `revision`."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repo}@{self.revision}:{self.path}"


def download(source: HfFile, stage: Path, size_bytes: int, tick: Tick) -> Path:
    """The path of the whole file in `stage`; resumes what an earlier process left there.

    Raises ModelError: NO_NETWORK, NOT_FOUND, TOO_LARGE, CORRUPT (another size), INTERNAL. A full disk is an OSError.
    """
    # Imported here: half a second that only a pull from the hub should pay.
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    # Not hf_hub_download: it deletes an unfinished file. This function, which it calls, can resume one.
    from huggingface_hub.file_download import http_get  # noqa: PLC0415
    from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415

    url = hf_hub_url(source.repo, source.path, revision=source.revision)
    begun = stage / "hf" / source.repo / source.revision / source.path
    begun.parent.mkdir(parents=True, exist_ok=True)
    try:
        said = get_hf_file_metadata(url).size
        if said != size_bytes:
            raise ModelError(Reason.CORRUPT, f"{source} has {said or 0:,} bytes, the manifest says {size_bytes:,}")
        with begun.open("ab") as out:
            ticker = _ticker(tick, size_bytes)
            http_get(
                url,
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(),
                expected_size=size_bytes,
                tqdm_class=ticker,
            )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise ModelError(Reason.NOT_FOUND, f"{source} does not exist or needs a login") from error
    except errors.HfHubHTTPError as error:
        raise ModelError(Reason.INTERNAL, f"the hub refused {source}: {error}") from error
    except (
        errors.OfflineModeIsEnabled,
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # its HTTP client's base error, re-exported
    ) as error:
        raise ModelError(Reason.NO_NETWORK, f"cannot reach the hub for {source}: check the network or proxy") from error
    except ImportError as error:
        raise ModelError(
            Reason.NOT_INSTALLED,
            f"cannot reach the hub for {source}: a proxy variable, such as $ALL_PROXY, names a SOCKS proxy, which "
            "needs: pip install 'httpx[socks]'",
        ) from error
    except ValueError as error:  # a proxy variable that holds no address
        raise ModelError(Reason.NO_NETWORK, f"cannot reach the hub for {source}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise  # an error of the disk: the store explains it
        raise ModelError(Reason.NO_NETWORK, f"the download of {source} broke off; pull again to go on") from error
    return begun


def _ticker(tick: Tick, size_bytes: int) -> Any:
    """A tqdm class, as huggingface_hub reports to no other: draws nothing, calls `tick`, stops at `size_bytes`."""
    from tqdm import tqdm  # noqa: PLC0415  # comes with huggingface_hub, needed only beside it

    class Ticker(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"disable": True})
            self.n = kwargs.get("initial", 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.n += n or 0
            if self.n > size_bytes:
                raise ModelError(Reason.TOO_LARGE, f"the hub sends more than the {size_bytes:,} bytes it announced")
            tick(int(self.n))
            return None

    return Ticker
