"""The Hugging Face Hub, or its absence: found out once, at the start, instead of by minutes of retries."""

import logging
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import datasets
from huggingface_hub import constants

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10


def go_offline_if_unreachable() -> None:
    """Put the Hugging Face libraries into offline mode when the Hub does not answer.

    What is in their caches then loads as usual, and what is not fails at once.
    """
    if constants.HF_HUB_OFFLINE:
        return
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=CONNECT_TIMEOUT_S).close()
    except HTTPError:
        return  # it answered; what it refuses is for the libraries to report
    except OSError as error:
        log.warning("The Hub does not answer (%s): using what is on this machine.", error)
        constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = True
