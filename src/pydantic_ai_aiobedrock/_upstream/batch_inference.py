"""BatchInference: the files, the role and the quotas of a model's batch inference jobs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic_ai.exceptions import UserError

from pydantic_ai_aiobedrock._config.arguments import is_count, shown

InvocationType = Literal['Converse', 'InvokeModel']

# The patterns and limits are those of the service model of CreateModelInvocationJob.
_S3_FOLDER = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+)*/?")
_ROLE_ARN = re.compile(r'arn:aws(-[^:]+)?:iam::\d{12}:role/.+')
_KMS_KEY = re.compile(
    r'(arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:\d{12}:(key/[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9-_/]+))'
    r'|[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9-_/]+'
)
_ACCOUNT = re.compile(r'\d{12}')
# A name of a job may have a plus sign, the URI of a file may not.
_PREFIX = re.compile(r'[a-zA-Z0-9][a-zA-Z0-9.-]{0,30}')
_KEY = re.compile(r'[a-zA-Z0-9.-]{0,31}[a-zA-Z0-9]')
_TAG_KEY = re.compile(r'[a-zA-Z0-9\s._:/=+@-]{1,128}')
_TAG_VALUE = re.compile(r'[a-zA-Z0-9\s._:/=+@-]{0,256}')
_VPC_ID = re.compile(r'[-0-9a-zA-Z]{1,32}')
_OPTIONAL = ('output_s3_uri', 'kms_key_id', 'bucket_owner')
_MAX_URI = 1024
_HOURS = range(24, 169)
_FILE_NAME_LENGTH = 63 + len('.jsonl')
"""The length of the longest name of a job, which is that of its file."""


@dataclass(frozen=True, kw_only=True)
class BatchInference:
    """The files, the role and the quotas of a model's batch inference jobs.

    Bedrock's batch inference reads requests from a file in S3 and writes the answers to another, at half the price and
    within 24 hours. With this, a `BedrockConverseModel` works with `BatchModelRequests` and `model_request_batch` of
    Pydantic AI 2.62 or newer; see https://ai.pydantic.dev/batch/.

    The quotas are those of https://docs.aws.amazon.com/general/latest/gr/bedrock.html; AWS sets them per model and
    region, and raises some on request.

    Attributes:
        role_arn: The service role that Bedrock assumes to read and write the files; see
            https://docs.aws.amazon.com/bedrock/latest/userguide/batch-iam-sr.html.
        s3_uri: The folder of the files, such as `s3://my-bucket/batches/`, in the region of the provider. The
            provider's credentials write to it and read from it, too.
        output_s3_uri: The folder of the answers; default: `s3_uri`.
        kms_key_id: The KMS key, by ARN, id or alias, that encrypts the requests and the answers; default: the
            encryption of the bucket.
        bucket_owner: The number of the account that must own the buckets; default: not checked.
        tags: Tags of the jobs.
        timeout_hours: The hours after which Bedrock ends a job, 24 to 168; default: 24.
        subnet_ids: The subnets of the VPC that the jobs use, together with `security_group_ids`; default: no VPC. See
            https://docs.aws.amazon.com/bedrock/latest/userguide/batch-vpc.html.
        security_group_ids: The security groups of that VPC.
        job_name_prefix: The beginning of the names of jobs and files, 31 characters at most, by which `batch_list`
            finds them.
        min_records: The fewest records that Bedrock accepts in a job.
        max_records: The most records that Bedrock accepts in a job.
        max_bytes: The size of the largest input file that Bedrock accepts.
        live_below_minimum: Send requests that are too few for a job live, at the full price, instead of refusing
            them. Their answers are written to the folder, like those of a job.

    Raises:
        UserError: A value is not usable; the message names it.
    """

    role_arn: str
    s3_uri: str
    output_s3_uri: str | None = None
    kms_key_id: str | None = None
    bucket_owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_hours: int | None = None
    subnet_ids: Sequence[str] = ()
    security_group_ids: Sequence[str] = ()
    job_name_prefix: str = 'pydantic-ai-'
    min_records: int = 100
    max_records: int = 50_000
    max_bytes: int = 1_000_000_000
    live_below_minimum: bool = False

    def __post_init__(self) -> None:
        self._check('role_arn', _ROLE_ARN, "the ARN of a role: pass one like 'arn:aws:iam::123456789012:role/batch'")
        for name in ('s3_uri', 'output_s3_uri'):
            folder = "a folder in S3 as Bedrock's batch inference accepts it: pass one like 's3://my-bucket/batches/', "
            self._check(
                name,
                _S3_FOLDER,
                folder + "in which a bucket has its name in lower case and a key has letters, digits and -!_*'(). only",
            )
            if len(getattr(self, name) or '') + 1 + _FILE_NAME_LENGTH > _MAX_URI:
                raise UserError(f'`{name}` of BatchInference is too long: a URI of a file has {_MAX_URI} characters.')
        self._check('kms_key_id', _KMS_KEY, 'the ARN, the id or the alias (`alias/...`) of a KMS key')
        self._check('bucket_owner', _ACCOUNT, 'the number of an AWS account, which has 12 digits')
        self._check(
            'job_name_prefix',
            _PREFIX,
            'a beginning of a name: 1 to 31 letters, digits, hyphens and dots',
        )
        self._check_tags()
        if self.timeout_hours is not None and self.timeout_hours not in _HOURS:
            raise UserError(f'`timeout_hours` of BatchInference must be 24 to 168, not {self.timeout_hours!r}.')
        if bool(self.subnet_ids) != bool(self.security_group_ids):
            raise UserError('`subnet_ids` and `security_group_ids` of BatchInference need each other: pass both.')
        for name in ('subnet_ids', 'security_group_ids'):
            ids = getattr(self, name)
            if isinstance(ids, str) or not all(isinstance(each, str) and _VPC_ID.fullmatch(each) for each in ids):
                raise UserError(f'`{name}` of BatchInference must be a list of ids, not {ids!r}.')
        self._check_quotas()

    def _check(self, name: str, pattern: re.Pattern[str], description: str) -> None:
        value = getattr(self, name)
        if value is None and name in _OPTIONAL:
            return
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise UserError(f'`{name}` of BatchInference is {shown(value)}, which is not {description}.')

    def _check_tags(self) -> None:
        tags: Any = self.tags
        if not isinstance(tags, Mapping):
            raise UserError(f'`tags` of BatchInference must be a dict of names and values, not {shown(tags)}.')
        for key, value in cast(Mapping[Any, Any], tags).items():
            is_text = isinstance(key, str) and isinstance(value, str)
            if not (is_text and _TAG_KEY.fullmatch(key) and _TAG_VALUE.fullmatch(value)):
                raise UserError(f'`tags` of BatchInference has {key!r}: {value!r}, which AWS does not accept as a tag.')

    def _check_quotas(self) -> None:
        for name in ('min_records', 'max_records', 'max_bytes'):
            if not is_count(value := getattr(self, name)):
                raise UserError(f'`{name}` of BatchInference must be a positive whole number, not {shown(value)}.')
        if self.min_records > self.max_records:
            raise UserError(
                '`min_records` of BatchInference must be no more than `max_records`; they are '
                f'{self.min_records:,} and {self.max_records:,}.'
            )

    @property
    def output_folder(self) -> str:
        """The folder of the answers, without a slash at its end."""
        return (self.output_s3_uri or self.s3_uri).rstrip('/')

    def job_name(self, key: str | None) -> str:
        """Return the name of the job of a key, or of a new job.

        Raises:
            UserError: A name cannot end with the key.
        """
        if key is not None and not _KEY.fullmatch(key):
            raise UserError(
                f'`idempotency_key` is {key!r}, but must be 1 to 32 letters, digits, hyphens and dots, '
                'and end with a letter or a digit.'
            )
        return f'{self.job_name_prefix}{key or uuid.uuid4().hex}'

    def input_uri(self, name: str) -> str:
        """Return the URI of the input file of the job of a name."""
        return f'{self.s3_uri.rstrip("/")}/{name}.jsonl'

    def job_request(self, model_id: str, input_uri: str, invocation_type: InvocationType) -> dict[str, Any]:
        """Return the members of a CreateModelInvocationJob request, except for the name."""
        owner = {} if self.bucket_owner is None else {'s3BucketOwner': self.bucket_owner}
        key = {} if self.kms_key_id is None else {'s3EncryptionKeyId': self.kms_key_id}
        request: dict[str, Any] = {
            'modelId': model_id,
            'roleArn': self.role_arn,
            'modelInvocationType': invocation_type,
            'inputDataConfig': {'s3InputDataConfig': {'s3Uri': input_uri, **owner}},
            'outputDataConfig': {'s3OutputDataConfig': {'s3Uri': f'{self.output_folder}/', **owner, **key}},
        }
        if self.timeout_hours is not None:
            request['timeoutDurationInHours'] = self.timeout_hours
        if self.tags:
            request['tags'] = [{'key': key, 'value': value} for key, value in self.tags.items()]
        if self.subnet_ids:
            request['vpcConfig'] = {
                'subnetIds': list(self.subnet_ids),
                'securityGroupIds': list(self.security_group_ids),
            }
        return request


def check_batch_inference(value: object) -> None:
    """Check the argument `batch_inference` of a model.

    Raises:
        UserError: It is neither a `BatchInference` nor None.
    """
    if not isinstance(value, BatchInference | None):
        raise UserError(f'`batch_inference` must be a BatchInference, not {shown(value)}.')


def output_uris(job: Mapping[str, Any]) -> tuple[str, str]:
    """Return the URIs of a job's answers and of its manifest."""
    file = job['inputDataConfig']['s3InputDataConfig']['s3Uri'].rpartition('/')[2]
    folder = job['outputDataConfig']['s3OutputDataConfig']['s3Uri'].rstrip('/')
    folder = f'{folder}/{job["jobArn"].rpartition("/")[2]}'
    return f'{folder}/{file}.out', f'{folder}/manifest.json.out'
