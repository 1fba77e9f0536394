"""What every answer under the API's prefix has in common, errors of other middleware included."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

API_PREFIX = "/agent-conversations/api"


def no_store(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Keep people's words out of every cache on the way."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.path_info.startswith(API_PREFIX):
            response.headers["Cache-Control"] = "no-store"
        return response

    return answer
