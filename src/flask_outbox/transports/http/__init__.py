"""Providers' HTTP APIs: one file for each, which reads like its API's page.

::

    ApiTransport.deliver        api.py: requests of one message, what replies mean
        |  Fields               fields.py: a finished message, taken apart for JSON
        |  SharedCallTransport  shared_calls.py: several messages in one request
        v
    ApiClient.post              client.py: one request, its reply, time limits, TLS
"""
