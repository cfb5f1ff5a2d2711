"""Channels: who besides an account sees its events. Apps write members in their own transactions."""

from uuid import UUID

from apps.events.models import Channel, ChannelMember


def channel_of(account_id: UUID, name: str) -> Channel:
    """The account's channel of this name, made when there is none."""
    channel, _ = Channel.objects.get_or_create(account_id=account_id, name=name)
    return channel


def join(channel: Channel, account_id: UUID) -> None:
    """From now on `account_id` sees the channel; joining again changes nothing."""
    ChannelMember.objects.bulk_create(
        [ChannelMember(channel=channel, account_id=account_id)], ignore_conflicts=True
    )


def leave(channel: Channel, account_id: UUID) -> None:
    """From now on `account_id` sees nothing more of the channel."""
    ChannelMember.objects.filter(channel=channel, account_id=account_id).delete()
